//! Stores that lost layers before the build or lose them during it: nothing is done twice, and the build ends.

use super::*;
use crate::op::{Network, Run, Security};

/// A store whose records outlive their layers.
#[derive(Default)]
struct Store {
    records: BTreeMap<Key, Layer>,
    there: BTreeSet<Digest>,
    /// Makes every layer another one than before.
    rounds: u8,
    /// A step that runs again yields the same content, as most do.
    steady: bool,
    /// A step's worker finds all that is gone at once, and not one after the other.
    finds_all: bool,
    /// Every layer is gone as soon as it is made.
    leaks: bool,
    /// The command that was given first takes longest.
    first_is_slow: bool,
    performed: Vec<(NodeId, Key)>,
}

impl Store {
    fn perform(&mut self, node: NodeId, key: Key) -> Event {
        self.performed.push((node, key));
        self.rounds += 1;
        let mut named = key.0;
        named[0] ^= self.rounds;
        let content = ContentId(if self.steady { key.0 } else { named });
        let layer = Layer { content, diff: layer_of(Key(named)).diff };
        self.records.insert(key, layer.clone());
        if !self.leaks {
            self.there.insert(layer.diff);
        }
        Event::Performed(node, layer)
    }

    /// Whose layers a step would stand on and not find.
    fn gone(&self, machine: &Machine, graph: &Graph, node: NodeId) -> Vec<NodeId> {
        let mut gone = BTreeSet::new();
        // A linked copy reads nothing of what it is laid on.
        let base = graph.node(node).base.filter(|_| !graph.node(node).op.ignores_base());
        for need in base.iter().chain(&graph.node(node).inputs) {
            let mut at = Some(*need);
            while let Some(below) = at {
                if machine.layer(below).is_some_and(|layer| !self.there.contains(&layer.diff)) {
                    gone.insert(below);
                }
                at = graph.node(below).base;
            }
        }
        let found = if self.finds_all { gone.len() } else { 1 };
        gone.into_iter().take(found).collect()
    }

    fn lose_some(&mut self, dice: &mut Dice) {
        let sides = 1 + dice.roll(4);
        self.there.retain(|_| dice.roll(4) >= sides);
    }
}

/// The graph's stages run commands too, and some of them have equal steps.
fn stages(dice: &mut Dice) -> Graph {
    let mut graph = random_graph(dice);
    for node in &mut graph.nodes {
        node.reuse = Reuse::Always;
        let name = dice.roll(3).to_string();
        node.op = match &node.op {
            Op::MakeDir(dir) if dice.roll(2) == 0 => Op::MakeDir(MakeDir {
                path: GuestPath::new(&format!("/{name}")).expect("a path"),
                ..dir.clone()
            }),
            Op::MakeDir(_) => {
                node.inputs.clear();
                Op::Run(Box::new(run(&name)))
            }
            _ => copy_op(&name, dice.roll(4) == 0, node.inputs.len()),
        };
    }
    graph
}

fn run(name: &str) -> Run {
    Run {
        argv: vec![name.to_owned()],
        env: Vec::new(),
        hidden_env: Vec::new(),
        cwd: GuestPath::new("/").expect("a root"),
        user: String::new(),
        network: Network::Default,
        security: Security::Sandbox,
        mounts: Vec::new(),
        hostname: None,
        extra_hosts: Vec::new(),
        shm_size: None,
        ulimits: Vec::new(),
        devices: Vec::new(),
        platform: String::new(),
    }
}

/// The files that a node selects are its inputs'.
fn selected(machine: &Machine, graph: &Graph, node: NodeId) -> Event {
    let mut id = [0_u8; 32];
    for input in &graph.node(node).inputs {
        let tree = machine.tree(*input).expect("a settled input").id;
        id.iter_mut().zip(tree.0).for_each(|(byte, other)| *byte = byte.wrapping_mul(3).wrapping_add(other));
    }
    Event::Selected(node, vec![SelectionId(id); graph.node(node).selections().len()])
}

/// Drives one build to its end as workers do that look at once and answer late. Yields the events that it took.
fn build(graph: &Graph, store: &mut Store, dice: &mut Dice) -> (Machine, usize) {
    store.performed.clear();
    let outputs = [NodeId(graph.nodes.len() as u32 - 1)];
    let policy = Policy { jobs: 1 + dice.roll(2), cutoff: true, class: "full".to_owned() };
    let mut machine = Machine::new(Arc::new(graph.clone()), &outputs, policy);
    let (mut out, mut events) = (Vec::new(), 0);
    loop {
        while let Some(command) = machine.next_command() {
            let seen = match &command {
                Command::Perform(node, _) => store.gone(&machine, graph, *node),
                _ => Vec::new(),
            };
            out.push((command, seen));
        }
        if !out.is_empty() {
            let at = if store.first_is_slow { out.len() - 1 } else { dice.roll(out.len()) };
            let (command, seen) = out.remove(at);
            let answer = match command {
                Command::Perform(node, _) if !seen.is_empty() => Event::InputGone { node, inputs: seen },
                Command::Perform(node, key) => store.perform(node, key),
                Command::Select(node) => selected(&machine, graph, node),
                Command::LookUp(node, key) => match store.records.get(&key) {
                    Some(layer) => Event::Found(node, layer.clone()),
                    None => Event::Missed(node),
                },
            };
            machine.handle(answer);
        } else if let Some(gone) = gone_of_output(&machine, graph, store, outputs[0]) {
            machine.handle(Event::OutputGone(gone));
        } else {
            return (machine, events);
        }
        events += 1;
        let most = 20 * graph.nodes.len() * (1 + graph.nodes.len());
        assert!(events <= most, "{events} events for {} nodes", graph.nodes.len());
    }
}

/// At the end of a build the output's own layers have to be there.
fn gone_of_output(machine: &Machine, graph: &Graph, store: &Store, output: NodeId) -> Option<NodeId> {
    let mut at = Some(output).filter(|_| machine.is_settled());
    while let Some(node) = at {
        if machine.layer(node).is_some_and(|layer| !store.there.contains(&layer.diff)) {
            return Some(node);
        }
        at = graph.node(node).base;
    }
    None
}

/// What was performed more than once with the same inputs, by whichever node.
fn twice(store: &Store) -> Vec<(NodeId, Key)> {
    let mut seen = BTreeSet::new();
    store.performed.iter().filter(|(_, key)| !seen.insert(*key)).copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_layer_that_is_gone_is_made_once(seed: u64) {
        let mut dice = Dice(seed);
        let graph = stages(&mut dice);
        let mut store = Store {
            steady: dice.roll(4) > 0,
            finds_all: dice.roll(2) == 0,
            first_is_slow: dice.roll(3) == 0,
            ..Store::default()
        };
        let (machine, _) = build(&graph, &mut store, &mut dice);
        prop_assert!(machine.is_settled());
        prop_assert_eq!(twice(&store), [], "a first build");
        for _ in 0..3 {
            store.lose_some(&mut dice);
            if dice.roll(2) == 0 {
                // Some steps were changed, too: their records are others'.
                store.records.retain(|_, _| dice.roll(4) > 0);
            }
            let (machine, _) = build(&graph, &mut store, &mut dice);
            prop_assert!(machine.is_settled());
            prop_assert_eq!(twice(&store), [], "a later build");
        }
    }

    #[test]
    fn a_store_that_keeps_nothing_ends_the_build(seed: u64) {
        let mut dice = Dice(seed);
        let graph = stages(&mut dice);
        let mut store = Store { steady: true, leaks: true, ..Store::default() };
        let (machine, _) = build(&graph, &mut store, &mut dice);
        prop_assert!(!machine.is_settled() && !machine.failed().is_empty());
        let most = store.performed.len();
        prop_assert!(most <= graph.nodes.len() * (1 + LOST_MAX), "{} runs of {} nodes", most, graph.nodes.len());
    }
}

/// RUN, COPY and a changed RUN, of which the first two are remembered and not there.
#[test]
fn the_upper_step_waits_until_the_lowest_is_made() {
    let mut graph = Graph::default();
    for (at, op) in [Op::Run(Box::new(run("a"))), copy_op("b", false, 0), Op::Run(Box::new(run("c")))]
        .into_iter()
        .enumerate()
    {
        let base = at.checked_sub(1).map(|below| NodeId(below as u32));
        let about = About::default();
        graph.nodes.push(Node {
            op,
            base,
            inputs: Vec::new(),
            after: Vec::new(),
            about,
            reuse: Reuse::Always,
        });
    }
    let mut store = Store { steady: true, first_is_slow: true, ..Store::default() };
    build(&graph, &mut store, &mut Dice(0));
    store.there.clear();
    let last = store.performed[2].1;
    store.records.remove(&last);
    let (machine, events) = build(&graph, &mut store, &mut Dice(0));
    assert!(machine.is_settled());
    let nodes: Vec<u32> = store.performed.iter().map(|(node, _)| node.0).collect();
    assert_eq!(nodes, [0, 1, 2]);
    assert!(events <= 14, "{events}");
}
