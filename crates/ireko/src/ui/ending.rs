//! The lines that stay: how a step ended, and what a build was.

use super::Wishes;
use super::steps::{Steps, seconds};
use crate::text::{bytes, columns_of, fit};
use ireko_report::{Event, LayerSize, MissReason, StepEnd};
use std::time::Duration;

/// A step's name is cut no shorter than this for what is said of it.
const NAME: usize = 24;

/// A step's display in one line of `room` columns. A long stage gives way, so that its number and the instruction are
/// seen.
pub(super) fn short(display: &str, room: usize) -> String {
    let Some(end) = display.find(']').filter(|_| columns_of(display) > room) else {
        return fit(display, room);
    };
    let (head, rest) = display.split_at(end + 1);
    let most = (room / 2).max(NAME / 2);
    match head.rsplit_once(' ') {
        Some((stage, number)) if columns_of(head) > most => {
            let stage = fit(stage, most.saturating_sub(columns_of(number) + 1));
            fit(&format!("{stage} {number}{rest}"), room)
        }
        _ => fit(display, room),
    }
}

/// The first line of a step's display: its whole text stood where it began.
fn first_line(display: &str) -> &str {
    display.lines().next().unwrap_or_default()
}

/// The columns of a terminal that a line is to take, or a log, which has room.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room {
    Columns(usize),
    Log,
}

impl Room {
    /// Columns of a line of our own.
    fn columns(self) -> usize {
        const LOG: usize = 120;
        match self {
            Self::Columns(columns) => columns,
            Self::Log => LOG,
        }
    }

    /// A line with a digest, of which the first digits are enough where there is no room for all.
    fn with_digest(self, line: impl Fn(&str) -> String, digest: &str) -> String {
        const SHORT: usize = "sha256:".len() + 12;
        let whole = line(digest);
        match self {
            Self::Columns(columns) if columns_of(&whole) > columns => {
                line(digest.get(..SHORT).unwrap_or(digest))
            }
            _ => whole,
        }
    }
}

/// The line that says how a step ended, in its room if that can be.
pub(super) fn ended(
    name: &str,
    end: &StepEnd,
    miss: Option<&MissReason>,
    (room, colour): (Room, bool),
) -> String {
    let took = |ms: &u64| seconds(Duration::from_millis(*ms));
    let why = miss.map(|miss| format!(" ({miss})")).unwrap_or_default();
    let (paint, text) = match end {
        StepEnd::Hit => ("32", "hit".to_owned()),
        StepEnd::CutOff => ("32", "hit (the steps below gave the same result)".to_owned()),
        StepEnd::Ran { elapsed_ms } => ("36", format!("{}{why}", took(elapsed_ms))),
        StepEnd::Adopted { elapsed_ms } => {
            ("36", format!("{}{why}, same result as before", took(elapsed_ms)))
        }
        StepEnd::Failed { message, .. } => ("31", format!("failed: {message}")),
        StepEnd::Cancelled => ("33", "cancelled".to_owned()),
    };
    let text = match (end, room) {
        // The error that follows has all of it.
        (StepEnd::Failed { .. }, Room::Columns(room)) => fit(&text, room.saturating_sub(NAME + 2).max(NAME)),
        _ => text,
    };
    let name = short(first_line(name), room.columns().saturating_sub(columns_of(&text) + 2).max(NAME));
    let text = if colour { format!("\u{1b}[{paint}m{text}\u{1b}[0m") } else { text };
    format!("{name}: {text}")
}

/// What a build was: how much was remembered, what took longest where that was long, and what is biggest.
fn summary(steps: &Steps, elapsed_ms: u64, room: usize) -> Vec<String> {
    const LONG: u64 = 1000;
    let (hits, all) = steps.hits();
    let mut line = format!("built in {}", seconds(Duration::from_millis(elapsed_ms)));
    if all > 0 {
        line += &format!(", {hits} of {all} steps remembered");
    }
    if let Some((step, time)) = steps.longest().filter(|(_, time)| *time >= LONG) {
        let time = seconds(Duration::from_millis(time));
        let left = room.saturating_sub(columns_of(&line) + columns_of(&time) + ", longest  ()".len());
        line += &format!(", longest {} ({time})", short(first_line(&step.display), left.max(NAME / 2)));
    }
    std::iter::once(line).chain(largest(steps, room)).collect()
}

/// The largest layers that the build's own steps gave its images, where they are worth a look.
fn largest(steps: &Steps, room: usize) -> Option<String> {
    const MOST: usize = 3;
    /// Smaller ones are nobody's concern.
    const WORTH: u64 = 1_000_000;
    let all: Vec<LayerSize> = steps.images.iter().flat_map(|(_, layers)| layers).copied().collect();
    // Images that were all remembered were looked at when they were made.
    if !steps.any_ran() {
        return None;
    }
    let whole = match steps.images.as_slice() {
        [(Some(base), layers)] => Some((*base, base + layers.iter().map(|layer| layer.bytes).sum::<u64>())),
        _ => None,
    };
    let own = all.iter().map(|layer| layer.bytes).sum::<u64>();
    let least = WORTH.max(whole.map_or(own, |(_, whole)| whole) / 10);
    let mut worth: Vec<LayerSize> = Vec::new();
    for layer in all.into_iter().filter(|layer| layer.bytes >= least) {
        // Images may share it.
        if worth.iter().all(|known| known.node != layer.node) {
            worth.push(layer);
        }
    }
    worth.sort_by_key(|layer| (std::cmp::Reverse(layer.bytes), layer.node));
    worth.truncate(MOST);
    if worth.is_empty() {
        return None;
    }
    let mut line = match whole {
        Some((0, whole)) => format!("image {}, largest: ", bytes(whole)),
        Some((base, whole)) => format!("image {} (base {}), largest: ", bytes(whole), bytes(base)),
        None => "largest layers: ".to_owned(),
    };
    let named: Vec<(String, &str)> = worth
        .iter()
        .map(|layer| {
            // What it says is known from the Dockerfile, and there is little room.
            let display = steps.get(layer.node).map_or("", |step| first_line(&step.display));
            (bytes(layer.bytes), display.split_once("] ").map_or(display, |(_, instruction)| instruction))
        })
        .collect();
    let sizes: usize = named.iter().map(|(size, _)| size.len() + " , ".len()).sum();
    let left = (room + ", ".len()).saturating_sub(columns_of(&line) + sizes);
    let most = share(left, named.iter().map(|(_, display)| columns_of(display))).max(NAME / 2);
    let named = named.iter().map(|(size, display)| format!("{size} {}", short(display, most)));
    line += &named.collect::<Vec<_>>().join(", ");
    Some(line)
}

/// The most that each of these widths may have, so that all fit: the short ones leave theirs to the long ones.
fn share(mut left: usize, widths: impl Iterator<Item = usize>) -> usize {
    let mut widths: Vec<usize> = widths.collect();
    widths.sort_unstable();
    let count = widths.len();
    for (at, width) in widths.into_iter().enumerate() {
        let each = left / (count - at);
        if width > each {
            return each;
        }
        left -= width;
    }
    usize::MAX
}

/// Lines for events that belong to no step's own display.
pub(super) fn other_lines(event: &Event, wishes: &Wishes, steps: &Steps, room: Room) -> Vec<String> {
    match event {
        Event::BaseResolved { reference, from, digest, .. } => {
            vec![room.with_digest(|digest| format!("base {reference}: {digest} from {from}"), digest)]
        }
        Event::MissExplained { lines, .. } if wishes.explain || wishes.verbose => {
            lines.iter().map(|line| format!("    {line}")).collect()
        }
        Event::Warning { diagnostic } => {
            let mut lines = vec![format!("warning: {}", diagnostic.message)];
            lines.extend(diagnostic.notes.iter().map(|note| format!("  {note}")));
            lines.extend(diagnostic.hint.iter().map(|hint| format!("  hint: {hint}")));
            lines
        }
        Event::Progress { node: None, what, done, total } => match total {
            Some(total) if done == total => vec![format!("{what}: {}", bytes(*total))],
            _ => Vec::new(),
        },
        Event::Exported { destination, image, manifest, bytes: size } => {
            // The id is what the store and engines know it by; whoever fetches it pins it by the manifest.
            let id = manifest.as_deref().or(image.as_deref()).unwrap_or("");
            let size = if *size > 0 { format!(" ({})", bytes(*size)) } else { String::new() };
            let line = |id: &str| format!("exported {destination}{size} {id}").trim_end().to_owned();
            vec![room.with_digest(line, id)]
        }
        Event::BuildFinished { success: true, elapsed_ms } => summary(steps, *elapsed_ms, room.columns()),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_long_stage_gives_way() {
        let name = "[a-stage-with-a-long-name 2/5] RUN make all install";
        assert_eq!(short(name, 60), name);
        assert_eq!(short(name, 30), "[a-stage-… 2/5] RUN make all …");
        assert_eq!(short("[2/5] RUN make all install", 16), "[2/5] RUN make …");
        assert_eq!(short("no step", 4), "no …");
        let name = "[app 2/5] RUN echo 日本語日本語日本語日本語日本語";
        let line = |room| ended(name, &StepEnd::Ran { elapsed_ms: 2000 }, None, (Room::Columns(room), false));
        assert_eq!(line(40), "[app 2/5] RUN echo 日本語日本語日…: 2.0s");
        assert_eq!(columns_of(&line(40)), 40);
        assert_eq!(line(80), format!("{name}: 2.0s"));
        let message = "`/etc` is not in the stage or image it is copied from".to_owned();
        let failed = StepEnd::Failed { exit_code: None, message };
        let line = |room| ended("[app 2/5] COPY --from=a /etc /", &failed, None, (room, false));
        assert_eq!(columns_of(&line(Room::Columns(60))), 60);
        assert!(line(Room::Log).ends_with(
            "COPY --from=a /etc /: failed: `/etc` is not in the stage or image it is copied from"
        ));
    }

    #[test]
    fn a_digest_is_whole_where_there_is_room() {
        let id = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let event = Event::Exported {
            destination: "app:latest to the store".to_owned(),
            image: Some(id.clone()),
            manifest: None,
            bytes: 0,
        };
        let progress = crate::cli::Progress::Auto;
        let wishes = Wishes { progress, colour: false, explain: false, verbose: false, ci: None };
        let line = |room| other_lines(&event, &wishes, &built(&[]), room).join("\n");
        assert_eq!(line(Room::Log), format!("exported app:latest to the store {id}"));
        assert_eq!(line(Room::Columns(80)), "exported app:latest to the store sha256:0123456789ab");
        assert_eq!(line(Room::Columns(120)), line(Room::Log));
        let manifest = format!("sha256:{}", "f".repeat(64));
        let event = Event::Exported {
            destination: "registry.example/app:1".to_owned(),
            image: Some(id),
            manifest: Some(manifest.clone()),
            bytes: 1_030_000,
        };
        let lines = other_lines(&event, &wishes, &built(&[]), Room::Log);
        assert_eq!(lines, [format!("exported registry.example/app:1 (1.03MB) {manifest}")]);
    }

    /// Bytes of its base, and the steps of its layers with their bytes.
    type Image<'i> = (Option<u64>, &'i [(u32, u64)]);

    /// A build of three steps, one of which ran, and these images.
    fn built(images: &[Image<'_>]) -> Steps {
        let mut steps = Steps::new(Instant::now());
        for (node, display) in
            [(1, "[1/3] RUN apt-get install things"), (2, "[2/3] COPY a b"), (3, "[3/3] RUN x")]
        {
            let (stage, display) = ("0".to_owned(), display.to_owned());
            steps.take(&Event::StepQueued { node, stage, display, platform: None });
            let end = if node == 1 { StepEnd::Ran { elapsed_ms: 2000 } } else { StepEnd::Hit };
            steps.take(&Event::StepFinished { node, end, miss: None });
        }
        for (base, layers) in images {
            let layers =
                layers.iter().map(|(node, bytes)| LayerSize { node: *node, bytes: *bytes }).collect();
            let (stage, platform) = ("0".to_owned(), "linux/amd64".to_owned());
            steps.take(&Event::Layers { stage, platform, base: *base, layers });
        }
        steps
    }

    #[test]
    fn the_largest_layers_are_named_where_they_are_large() {
        let check = |images: &[Image<'_>], expect: &str| {
            let lines = summary(&built(images), 2500, 80);
            assert_eq!(
                lines[0],
                "built in 2.5s, 2 of 3 steps remembered, longest [1/3] RUN apt-get instal… (2.0s)"
            );
            assert_eq!(lines[1..].join("\n"), expect);
            assert!(lines.iter().all(|line| columns_of(line) <= 80), "{lines:?}");
        };
        check(&[], "");
        check(&[(Some(0), &[(1, 900_000), (2, 1000)])], "");
        // Less than a tenth.
        check(&[(Some(90_000_000), &[(1, 2_000_000)])], "");
        check(
            &[(Some(60_000_000), &[(1, 30_000_000), (2, 12_000_000), (3, 1000)])],
            "image 102MB (base 60.0MB), largest: 30.0MB RUN apt-get install…, 12.0MB COPY a b",
        );
        check(
            &[(None, &[(1, 30_000_000)]), (None, &[(1, 30_000_000), (3, 40_000_000)])],
            "largest layers: 40.0MB RUN x, 30.0MB RUN apt-get install things",
        );
        check(&[(Some(0), &[(2, 4_000_000)])], "image 4.00MB, largest: 4.00MB COPY a b");
    }

    #[test]
    fn what_was_all_remembered_is_not_measured_again() {
        let mut steps = built(&[(Some(0), &[(2, 4_000_000)])]);
        steps.take(&Event::StepFinished { node: 1, end: StepEnd::Hit, miss: None });
        assert_eq!(largest(&steps, 80), None);
    }
}
