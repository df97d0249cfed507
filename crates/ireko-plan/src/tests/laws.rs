//! What holds for every Dockerfile.

use super::*;
use proptest::prelude::*;

/// Lines that make Dockerfiles that mean something more often than random text does.
const LINES: [&str; 24] = [
    "FROM busybox AS a",
    "FROM scratch AS b",
    "FROM a",
    "FROM trigger",
    "ARG X=1",
    "ARG X",
    "ENV X=$X Y=${Y:-z}",
    "RUN echo $X",
    "RUN --mount=type=cache,target=$X id",
    "RUN --mount=from=a,target=/a --mount=target=. id",
    "RUN <<EOF\n#!x\nEOF",
    "COPY a b",
    "COPY --from=a /a /b",
    "COPY --from=b --link a ./",
    "COPY --from=1 a b",
    "COPY <<E /e\n$X\nE",
    "ADD a /b/",
    "WORKDIR /a/../$X",
    "WORKDIR ../..",
    "CMD x",
    "ONBUILD COPY --from=a x y",
    "ONBUILD WORKDIR z",
    "VOLUME /a",
    "EXPOSE $X",
];

fn survive(text: &str) {
    let (ast, _) = ireko_dockerfile::parse("Dockerfile", text.as_bytes());
    let input = PlanInput { platform: Platform::new("linux", "amd64", ""), ..PlanInput::new(ast) };
    let (planned, _) = settle(&input);
    let Planned::Ready(plan) = planned else { return };
    for output in &plan.outputs {
        let layers = output.config.history.iter().filter(|entry| !entry.empty_layer).count();
        let mut made = 0;
        let mut at = output.node;
        while let Some(node) = at.map(|at| plan.graph.node(at)) {
            made += match &node.op {
                ireko_graph::Op::Image(image) => image.diff_ids.len(),
                _ => 1,
            };
            at = node.base;
        }
        assert_eq!(layers, made, "each layer has its history entry:\n{text}");
    }
    for (at, node) in plan.graph.nodes.iter().enumerate() {
        assert!(node.needs().all(|need| (need.0 as usize) < at), "inputs stand before their users");
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        survive(&text);
    }

    #[test]
    fn any_dockerfile_is_survived(lines in proptest::collection::vec(0..LINES.len(), 0..14)) {
        let text: Vec<&str> = lines.iter().map(|line| LINES[*line]).collect();
        survive(&text.join("\n"));
    }
}
