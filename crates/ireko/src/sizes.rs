//! How big the layers of an image are, told at the end of a build.

use ireko_exec::Built;
use ireko_graph::{Graph, NodeId, Op};
use ireko_image::Images;
use ireko_oci::Digest;
use ireko_plan::Output;
use ireko_report::{Event, LayerSize};

/// Tells the sizes of an output's layers, as far as the store knows them.
pub(crate) fn tell(output: &Output, graph: &Graph, trees: &Built, images: &Images) {
    let Some(built) = output.node.and_then(|node| trees.get(&node)) else { return };
    let steps = steps(graph, output.node);
    let diffs = &built.tree.layers;
    let (base, own) = diffs.split_at(diffs.len().saturating_sub(steps.len()));
    let size = |diff: &Digest| Some(images.store().layer(diff).ok()??.tar_size);
    let layers = steps.iter().zip(own);
    let layers = layers.filter_map(|(node, diff)| Some(LayerSize { node: node.0, bytes: size(diff)? }));
    images.sink().emit(Event::Layers {
        stage: output.stage.clone(),
        platform: output.platform.to_string(),
        base: base.iter().map(size).sum(),
        layers: layers.collect(),
    });
}

/// The steps whose layers make the image, bottom first, without those of its base.
fn steps(graph: &Graph, top: Option<NodeId>) -> Vec<NodeId> {
    let below = |node: &NodeId| graph.node(*node).base;
    let all = std::iter::successors(top, below);
    let mut steps: Vec<NodeId> = all.filter(|node| !matches!(graph.node(*node).op, Op::Image(_))).collect();
    steps.reverse();
    steps
}
