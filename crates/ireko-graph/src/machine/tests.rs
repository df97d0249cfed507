//! The machine, driven by a seed: random graphs, orders of answers, failures and lost layers.

use super::*;
use crate::graph::{About, Node, Reuse};
use crate::op::{Copy, CopyItem, FilesFrom, MakeDir, Unpack};
use ireko_oci::GuestPath;
use proptest::prelude::*;

mod lost;

/// A small generator, so that a failing seed names the whole run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }
}

fn copy_op(name: &str, link: bool, inputs: usize) -> Op {
    let items = (0..inputs)
        .map(|at| CopyItem::Files { from: FilesFrom::Input(at), pattern: format!("/{name}") })
        .chain([CopyItem::Inline { name: name.to_owned(), bytes: Vec::new() }])
        .collect();
    Op::Copy(Box::new(Copy {
        items,
        dest: GuestPath::new("/").expect("a root"),
        dest_is_dir: true,
        owner: None,
        mode: None,
        link,
        parents: false,
        excludes: Vec::new(),
        unpack: Unpack::Never,
    }))
}

fn random_graph(dice: &mut Dice) -> Graph {
    let mut graph = Graph::default();
    let size = 1 + dice.roll(14);
    for at in 0..size {
        let pick =
            |dice: &mut Dice| (at > 0 && dice.roll(4) > 0).then(|| NodeId(dice.roll(at.max(1)) as u32));
        let base = pick(dice);
        let inputs: Vec<NodeId> = (0..dice.roll(3)).filter_map(|_| pick(dice)).collect();
        let op = match dice.roll(3) {
            0 => Op::MakeDir(MakeDir {
                path: GuestPath::new(&format!("/{at}")).expect("a path"),
                user: String::new(),
            }),
            1 => copy_op(&at.to_string(), true, inputs.len()),
            _ => copy_op(&at.to_string(), false, inputs.len()),
        };
        let inputs = if matches!(op, Op::MakeDir(_)) { Vec::new() } else { inputs };
        graph.nodes.push(Node {
            op,
            base,
            inputs,
            after: (0..dice.roll(2)).filter_map(|_| pick(dice)).collect(),
            about: About::default(),
            reuse: if dice.roll(5) == 0 { Reuse::Never } else { Reuse::Always },
        });
    }
    graph
}

/// What the world answers. Content depends on the key only, so two runs of a build agree.
struct World {
    known: BTreeMap<Key, Layer>,
    lost: BTreeSet<Digest>,
    performed: Vec<(NodeId, Key)>,
}

fn layer_of(key: Key) -> Layer {
    let digest = format!("sha256:{}", key.hex()).parse().expect("64 digits");
    Layer { content: ContentId(key.0), diff: digest }
}

impl World {
    fn answer(&mut self, machine: &Machine, graph: &Graph, command: &Command) -> Event {
        match command {
            Command::Select(node) => {
                let id = machine.declared(*node).expect("settled inputs").key();
                let count = graph.node(*node).selections().len();
                Event::Selected(*node, vec![SelectionId(id.0); count])
            }
            Command::LookUp(node, key) => match self.known.get(key) {
                Some(layer) => Event::Found(*node, layer.clone()),
                None => Event::Missed(*node),
            },
            Command::Perform(node, key) => {
                let asked = graph.node(*node);
                // Of what only comes before it, nothing is read.
                for need in asked.base.iter().chain(&asked.inputs).copied() {
                    let lost = |layer: &Layer| self.lost.contains(&layer.diff);
                    if machine.layer(need).is_some_and(lost) {
                        return Event::InputGone { node: *node, inputs: vec![need] };
                    }
                }
                self.performed.push((*node, *key));
                let layer = layer_of(*key);
                self.lost.remove(&layer.diff);
                self.known.insert(*key, layer.clone());
                Event::Performed(*node, layer)
            }
        }
    }
}

fn drive(graph: &Graph, world: &mut World, dice: &mut Dice, fail_at: Option<usize>) -> Machine {
    let outputs = [NodeId(graph.nodes.len() as u32 - 1)];
    let policy = Policy { jobs: 2, cutoff: true, class: "full".to_owned() };
    let mut machine = Machine::new(Arc::new(graph.clone()), &outputs, policy);
    let mut out: Vec<Command> = Vec::new();
    let mut steps = 0;
    loop {
        while let Some(command) = machine.next_command() {
            assert!(machine.failed().is_empty(), "nothing begins after a failure");
            let (Command::Select(node) | Command::LookUp(node, _) | Command::Perform(node, _)) = &command;
            let before = &graph.node(*node).after;
            assert!(before.iter().all(|before| machine.tree(*before).is_some()), "a node waits for others");
            out.push(command);
        }
        if out.is_empty() {
            break;
        }
        let command = out.swap_remove(dice.roll(out.len()));
        steps += 1;
        assert!(steps < 4000, "the machine never ends");
        let event = match (&command, fail_at) {
            (Command::Perform(node, _), Some(at)) if at == node.0 as usize => Event::Failed(*node),
            _ => world.answer(&machine, graph, &command),
        };
        machine.handle(event);
    }
    assert!(machine.is_idle());
    machine
}

fn fresh_world() -> World {
    World { known: BTreeMap::new(), lost: BTreeSet::new(), performed: Vec::new() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_build_settles_and_the_next_one_performs_nothing(seed: u64) {
        let mut dice = Dice(seed);
        let graph = random_graph(&mut dice);
        let mut world = fresh_world();
        let machine = drive(&graph, &mut world, &mut dice, None);
        prop_assert!(machine.is_settled());
        let mut nodes: Vec<NodeId> = world.performed.iter().map(|(node, _)| *node).collect();
        nodes.sort();
        let before = nodes.len();
        nodes.dedup();
        prop_assert_eq!(before, nodes.len(), "each node at most once");

        let outputs = NodeId(graph.nodes.len() as u32 - 1);
        let tree = machine.tree(outputs).cloned();
        world.performed.clear();
        let mut cached = graph.clone();
        cached.nodes.iter_mut().for_each(|node| node.reuse = Reuse::Always);
        let again = drive(&cached, &mut world, &mut dice, None);
        prop_assert!(world.performed.is_empty());
        prop_assert_eq!(again.tree(outputs).cloned(), tree);
    }

    #[test]
    fn lost_layers_are_made_again(seed: u64) {
        let mut dice = Dice(seed);
        let mut graph = random_graph(&mut dice);
        let mut world = fresh_world();
        drive(&graph, &mut world, &mut dice, None);
        world.lost = world.known.values().map(|layer| layer.diff).collect();
        let last = graph.nodes.len() - 1;
        graph.nodes[last].reuse = Reuse::Never;
        let machine = drive(&graph, &mut world, &mut dice, None);
        prop_assert!(machine.is_settled());
    }

    #[test]
    fn a_failure_ends_the_build(seed: u64) {
        let mut dice = Dice(seed);
        let graph = random_graph(&mut dice);
        let mut world = fresh_world();
        let at = dice.roll(graph.nodes.len());
        let machine = drive(&graph, &mut world, &mut dice, Some(at));
        let reached = !machine.failed().is_empty();
        prop_assert_eq!(reached, !machine.is_settled());
    }
}

fn two_copies() -> Graph {
    let mut graph = Graph::default();
    for (at, base) in [(0, None), (1, Some(NodeId(0)))] {
        let op = copy_op(&at.to_string(), false, 0);
        graph.nodes.push(Node {
            op,
            base,
            inputs: Vec::new(),
            after: Vec::new(),
            about: About::default(),
            reuse: Reuse::Always,
        });
    }
    graph
}

#[test]
fn changed_files_are_keyed_again_once() {
    let policy = Policy { jobs: 1, cutoff: true, class: "full".to_owned() };
    let mut machine = Machine::new(Arc::new(two_copies()), &[NodeId(0)], policy);
    let node = NodeId(0);
    for round in 0..2 {
        assert_eq!(machine.next_command(), Some(Command::Select(node)));
        machine.handle(Event::Selected(node, vec![SelectionId([round; 32])]));
        let Some(Command::LookUp(_, key)) = machine.next_command() else { panic!("a look-up") };
        machine.handle(Event::Missed(node));
        assert_eq!(machine.next_command(), Some(Command::Perform(node, key)));
        machine.handle(Event::Stale(node));
    }
    assert_eq!(machine.failed(), [node]);
}

#[test]
fn equal_content_cuts_off_and_keys_can_be_asked_for_instead() {
    for (cutoff, same) in [(true, true), (false, false)] {
        let trees: Vec<TreeId> = ["a", "b"]
            .iter()
            .map(|word| {
                let policy = Policy { jobs: 1, cutoff, class: "full".to_owned() };
                let mut machine = Machine::new(Arc::new(two_copies()), &[NodeId(0)], policy);
                let id = SelectionId([word.as_bytes()[0]; 32]);
                machine.next_command();
                machine.handle(Event::Selected(NodeId(0), vec![id]));
                machine.next_command();
                machine.handle(Event::Found(NodeId(0), layer_of(Key([7; 32]))));
                machine.tree(NodeId(0)).expect("settled").id
            })
            .collect();
        assert_eq!(trees[0] == trees[1], same);
    }
}

#[test]
fn more_ways_than_can_be_counted_are_walked_once() {
    let mut graph = Graph::default();
    for at in 0..64_u32 {
        let below = at.checked_sub(1).map(NodeId);
        let op = copy_op(&at.to_string(), false, below.iter().count());
        let inputs = below.into_iter().collect();
        graph.nodes.push(Node {
            op,
            base: below,
            inputs,
            after: Vec::new(),
            about: About::default(),
            reuse: Reuse::Always,
        });
    }
    let mut world = fresh_world();
    let mut machine = drive(&graph, &mut world, &mut Dice(0), None);
    let last = NodeId(63);
    let before = machine.tree(last).cloned();
    machine.handle(Event::OutputGone(NodeId(0)));
    let mut asked = 0;
    while let Some(command) = machine.next_command() {
        asked += 1;
        let event = match command {
            Command::Perform(node, _) => Event::Performed(node, layer_of(Key([9; 32]))),
            other => world.answer(&machine, &graph, &other),
        };
        machine.handle(event);
    }
    assert!(machine.is_settled() && asked < 64 * 4);
    assert_ne!(machine.tree(last).cloned(), before);
}
