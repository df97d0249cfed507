//! Cases from seeds: small Dockerfiles of a few stages over a small context, odd in every way that the engine knows.
//!
//! Most cases keep to what builds, so that trees and configs are compared; a few are *risky* and may ask for what
//! is not there, so that failures are. Only what the 20.10 engine's frontend knows is written; what it does not is
//! left to the properties.

mod context;
mod copy;
mod laws;
mod settings;
mod steps;
mod words;

use crate::case::{Case, Entry};
use crate::random::Random;

pub(crate) use laws::LAWS;

/// The case of a seed.
pub(crate) fn case(seed: u64) -> Case {
    let mut generator = Generator::new(seed);
    generator.risky = generator.chance(15);
    let backtick = generator.chance(6);
    if backtick {
        generator.escape = '`';
    }
    let context = generator.context();
    let ignore = generator.ignore();
    let mut case = Case { context, ignore, ..Case::default() };
    if backtick {
        case.head.push(generator.random.pick(&["# escape=`", "#escape=`", "# ESCAPE = `"]).to_owned());
    }
    if generator.random.percent(10) {
        case.head.push("# a comment \\".to_owned());
    }
    generator.stages(&mut case);
    generator.flags(&mut case);
    case.crlf = generator.random.percent(5);
    case
}

/// What is known while a case is made.
struct Generator {
    random: Random,
    risky: bool,
    escape: char,
    /// Paths of the context by what they are; symlinks are in neither.
    files: Vec<String>,
    dirs: Vec<String>,
    archives: Vec<String>,
    /// Names (or numbers) of earlier stages.
    stages: Vec<String>,
    /// Which of them have the files of the plain base.
    full: Vec<bool>,
    /// There is an ignore file.
    ignores: bool,
    /// The stage being made has a shell.
    can_run: bool,
    /// Its shell has not been replaced by something odd.
    shell: bool,
    serial: usize,
}

impl Generator {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            risky: false,
            escape: '\\',
            files: Vec::new(),
            dirs: Vec::new(),
            archives: Vec::new(),
            stages: Vec::new(),
            full: Vec::new(),
            ignores: false,
            can_run: true,
            shell: true,
            serial: 0,
        }
    }

    /// A number that no other thing of this case has.
    fn fresh(&mut self) -> usize {
        self.serial += 1;
        self.serial
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.random.percent(percent)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        self.random.pick(of)
    }

    fn of(&mut self, list: &[String]) -> String {
        list[self.random.below(list.len())].clone()
    }

    /// The keyword as people type it.
    fn keyword(&mut self, word: &str) -> String {
        match self.random.below(12) {
            0 => word.to_lowercase(),
            1 => word.chars().take(1).chain(word.to_lowercase().chars().skip(1)).collect(),
            2 => format!("  {word}"),
            _ => word.to_owned(),
        }
    }

    fn stages(&mut self, case: &mut Case) {
        for _ in 0..self.random.below(3) {
            let argument = self.global_argument();
            case.dockerfile.push(argument);
        }
        let count = 1 + usize::from(self.chance(35)) + usize::from(self.chance(10));
        for number in 0..count {
            let base = self.base();
            let name = match self.random.below(6) {
                0 => None,
                1 => Some(format!("{}{number}", if self.chance(50) { "Stage" } else { "stage" })),
                2 => Some(format!("s-{number}.x_y")),
                _ => Some(format!("st{number}")),
            };
            let from = self.keyword("FROM");
            let mut line = format!("{from} {base}");
            if let Some(name) = &name {
                line += &format!(" {} {name}", self.pick(&["AS", "as", "As"]));
            }
            case.dockerfile.push(line);
            self.shell = true;
            let last = number + 1 == count;
            let length = if last { 4 + self.random.below(10) } else { 2 + self.random.below(4) };
            for _ in 0..length {
                let instruction = self.instruction();
                let instruction = self.folded(instruction);
                case.dockerfile.push(instruction);
                if self.chance(5) {
                    case.dockerfile.push(self.pick(&["# a comment", "", "   ", "  # another \\"]).to_owned());
                }
            }
            let known = match name {
                Some(name) if self.chance(80) => name,
                _ => number.to_string(),
            };
            self.stages.push(known);
            self.full.push(self.can_run);
        }
    }

    fn base(&mut self) -> String {
        if !self.stages.is_empty() && self.chance(45) {
            let at = self.random.below(self.stages.len());
            let stage = self.stages[at].clone();
            // The engine knows a base by number or in capitals as an image only.
            if stage.parse::<usize>().is_err() && stage.chars().all(|one| !one.is_uppercase()) {
                self.can_run = self.full[at];
                return stage;
            }
        }
        let base = match self.random.below(20) {
            0..=8 => "plain",
            9..=13 => "configured",
            14 => "triggers",
            15 => "scratch",
            16 => "empty",
            17 => "${BASE:-plain}",
            18 => "plain:latest",
            _ => "docker.io/library/configured",
        };
        self.can_run = !matches!(base, "scratch" | "empty");
        base.to_owned()
    }

    fn instruction(&mut self) -> String {
        match self.random.below(100) {
            0..=29 => self.copy(),
            30..=39 => self.add(),
            40..=55 => self.run(),
            56..=64 => self.env(),
            65..=70 => self.arg(),
            71..=76 => self.workdir(),
            77..=80 => self.user(),
            81..=84 => self.label(),
            _ => self.setting(),
        }
    }

    /// An instruction over several lines, with comments in it, at places where that means nothing.
    fn folded(&mut self, text: String) -> String {
        if !self.chance(12) || text.contains(['\n', '[']) {
            return text;
        }
        let spaces: Vec<usize> = text
            .match_indices(' ')
            .map(|(at, _)| at)
            .filter(|at| *at > 6 && !text[..*at].ends_with(self.escape))
            .collect();
        let Some(at) = (!spaces.is_empty()).then(|| spaces[self.random.below(spaces.len())]) else {
            return text;
        };
        let between = self.pick(&["\n", "\n", "  \n", "\n# a comment in between\n", "\n\n", "\n  # one\n\n"]);
        format!("{} {}{between}{}", &text[..at], self.escape, &text[at..])
    }

    fn flags(&mut self, case: &mut Case) {
        for name in ["A", "G", "BASE", "UNUSED", "HTTP_PROXY"] {
            let chance = if name == "BASE" { 4 } else { 12 };
            if self.chance(chance) {
                let value = match name {
                    "BASE" => self.pick(&["configured", "plain", "triggers"]),
                    _ => self.pick(&["given", "two words", "", "a=b", "$A", "\"q\"", "x\\y"]),
                };
                case.flags.extend(["--build-arg".to_owned(), format!("{name}={value}")]);
            }
        }
        if self.chance(8) {
            let label = self.pick(&["flag=1", "kept=by flag", "empty=", "a.b/c=x=y"]);
            case.flags.extend(["--label".to_owned(), label.to_owned()]);
        }
        if self.chance(15) && !self.stages.is_empty() {
            let stages = self.stages.clone();
            let stage = self.of(&stages);
            let stage = if self.chance(30) { stage.to_uppercase() } else { stage };
            // The engine knows stages by name here, not by number.
            if stage.parse::<usize>().is_err() {
                case.flags.extend(["--target".to_owned(), stage]);
            }
        }
    }

    /// The paths of the context by what they are.
    fn remember(&mut self, entry: &Entry) {
        use crate::case::Kind;
        match entry.kind {
            // Its client cannot ask for a name of two lines, nor for one with a backslash.
            _ if entry.path.contains(['\n', '\\']) => {}
            Kind::File(_) | Kind::Hard(_) => self.files.push(entry.path.clone()),
            Kind::Directory => self.dirs.push(entry.path.clone()),
            Kind::Archive(..) => self.archives.push(entry.path.clone()),
            Kind::Symlink(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::case;

    #[test]
    fn a_seed_is_a_case() {
        for seed in 0..200 {
            assert_eq!(case(seed), case(seed));
        }
        assert_ne!(case(1), case(2));
    }

    #[test]
    fn every_case_has_a_stage() {
        for seed in 0..200 {
            let case = case(seed);
            assert!(case.dockerfile.iter().any(|line| line.trim_start().to_uppercase().starts_with("FROM")));
        }
    }
}
