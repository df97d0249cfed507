//! Contexts and their ignore files.

use super::Generator;
use crate::case::{Compression, Entry, Kind, Member};

const DIRS: [&str; 8] = ["d", "d/e", "d/e/f", "lib", "lib/x y", "node.d", ".dot", "Upper"];
const NAMES: [&str; 12] =
    ["a", "b.txt", "c.txt", "d1", "run.sh", ".hidden", "UP.TXT", "e-1", "z_2", "a.b.c", "10", "Dockerfile.x"];
const ODD_NAMES: [&str; 14] = [
    "spa ce",
    "ünï",
    "-dash",
    "quo\"te",
    "it's",
    "[br]",
    "st*r",
    "q?",
    "back\\slash",
    "dollar$A",
    "x#y",
    "comma,1",
    "new\nline",
    "tick`",
];
const MODES: [&str; 12] =
    ["644", "644", "644", "755", "600", "400", "4755", "2755", "1644", "0", "777", "711"];

impl Generator {
    pub(super) fn context(&mut self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for dir in DIRS {
            let parent = dir.rsplit_once('/').map(|(parent, _)| parent.to_owned());
            let known = parent.is_none_or(|parent| self.dirs.contains(&parent));
            if known && self.chance(45) {
                let mode = self.pick(&["755", "755", "755", "700", "1777", "2775", "500", "0"]).to_owned();
                entries.push(Entry { path: dir.to_owned(), mode, kind: Kind::Directory });
                self.dirs.push(dir.to_owned());
            }
        }
        self.dirs.clear();
        for entry in &entries {
            self.remember(entry);
        }
        for number in 0..4 + self.random.below(9) {
            let odd = self.chance(12);
            let name = if odd { self.pick(&ODD_NAMES) } else { self.pick(&NAMES) };
            let path = self.inside(name);
            if entries.iter().any(|entry| entry.path == path) {
                continue;
            }
            let kind = self.kind(&path, number);
            let mode = self.pick(&MODES).to_owned();
            let entry = Entry { path, mode, kind };
            self.remember(&entry);
            entries.push(entry);
        }
        if self.chance(25) {
            let suffix = ["tar", "tgz", "tar.bz2", "txz"][self.random.below(4)];
            let compression = match suffix {
                "tar" => Compression::None,
                "tgz" => Compression::Gzip,
                "tar.bz2" => Compression::Bzip2,
                _ => Compression::Xz,
            };
            let suffix = if self.chance(15) { "data" } else { suffix };
            let path = self.inside(&format!("arch.{suffix}"));
            let members = self.members();
            let entry = Entry { path, mode: "644".to_owned(), kind: Kind::Archive(compression, members) };
            self.remember(&entry);
            entries.push(entry);
        }
        entries
    }

    fn inside(&mut self, name: &str) -> String {
        if self.dirs.is_empty() || self.chance(45) {
            return name.to_owned();
        }
        let dirs = self.dirs.clone();
        format!("{}/{name}", self.of(&dirs))
    }

    fn kind(&mut self, path: &str, number: usize) -> Kind {
        let up = "../".repeat(path.matches('/').count());
        match self.random.below(20) {
            0..=2 => {
                let target = if self.chance(60) && !self.files.is_empty() {
                    let files = self.files.clone();
                    format!("{up}{}", self.of(&files))
                } else if self.chance(50) && !self.dirs.is_empty() {
                    let dirs = self.dirs.clone();
                    format!("{up}{}", self.of(&dirs))
                } else if up.is_empty() && !self.risky {
                    ".".to_owned()
                } else {
                    self.pick(&["nowhere", "/data/file", "/etc", "../..", "../../outside", ".", "/", "/d"])
                        .to_owned()
                };
                Kind::Symlink(target)
            }
            3 if !self.files.is_empty() => {
                let files = self.files.clone();
                Kind::Hard(self.of(&files))
            }
            4 => Kind::File(String::new()),
            _ => Kind::File(format!("{number} of {path}\n")),
        }
    }

    fn members(&mut self) -> Vec<Member> {
        let mut members = Vec::new();
        for _ in 0..1 + self.random.below(5) {
            let (kind, name, text) = match self.random.below(14) {
                0 => ("directory", "m/", ""),
                1 => ("directory", "./", ""),
                2 => ("symlink", "m/link", "file"),
                3 => ("symlink", "out", "."),
                4 => ("file", "out/through", "through\n"),
                5 => ("hard", "m/hard", "m/file"),
                6 => ("fifo", "pipe", ""),
                7 => ("file", "/absolute", "absolute\n"),
                8 if self.risky => ("file", "../escape", "escape\n"),
                9 => ("file", "m/../n/dotted", "dotted\n"),
                10 => ("file", "data", "a file\n"),
                11 => ("file", "link/x", "by link\n"),
                12 => ("directory", "deep/er/", ""),
                _ => ("file", "m/file", "member\n"),
            };
            if kind == "hard" && !members.iter().any(|member: &Member| member.name == text) {
                continue;
            }
            members.push(Member {
                name: name.to_owned(),
                kind: kind.to_owned(),
                text: text.to_owned(),
                mode: self.pick(&["644", "755", "4755", "600", "1777", "0"]).to_owned(),
                owner: [(0, 0), (1000, 1001), (7, 8), (65534, 65534)][self.random.below(4)],
            });
        }
        members
    }

    pub(super) fn ignore(&mut self) -> Vec<String> {
        if !self.chance(20) {
            return Vec::new();
        }
        self.ignores = true;
        let mut lines = Vec::new();
        // An exception for a directory that is not ignored itself has meant two things (`ignore-of-parents`), so
        // those stand below a line that ignores everything.
        let everything = self.chance(40);
        if everything {
            lines.push(self.pick(&["*", "**", "/*", "./*"]).to_owned());
        }
        for _ in 0..1 + self.random.below(5) {
            let mut line = self.ignored();
            match self.random.below(if everything { 10 } else { 14 }) {
                0..=3 if everything => line = format!("!{line}"),
                0 if !self.files.is_empty() => {
                    let files = self.files.clone();
                    line = format!("!{}", self.of(&files));
                }
                1 => line = self.pick(&["!**/*.txt", "!*.txt", "!**/a", "!d/b.txt"]).to_owned(),
                4 => line = format!("/{line}"),
                5 => line = format!("./{line}"),
                6 => line = format!("{line}/"),
                7 => line = format!("  {line}  "),
                _ => {}
            }
            lines.push(line);
        }
        if self.chance(10) {
            lines.push(self.pick(&["# comment", "", "#", "!", " ", "."]).to_owned());
        }
        lines
    }

    pub(super) fn ignored(&mut self) -> String {
        let (files, dirs) = (self.files.clone(), self.dirs.clone());
        match self.random.below(12) {
            0 | 1 if !files.is_empty() => self.of(&files),
            2 if !dirs.is_empty() => self.of(&dirs),
            3 if !dirs.is_empty() => format!("{}/**", self.of(&dirs)),
            4 if !dirs.is_empty() => format!("{}/*", self.of(&dirs)),
            5 if !dirs.is_empty() => format!("**/{}", self.of(&dirs)),
            6 if !files.is_empty() => self.of(&files).replace(['a', '1'], "?"),
            7 if !dirs.is_empty() => format!("{}/../d", self.of(&dirs)),
            _ => self
                .pick(&[
                    "*.txt", "**/*.txt", "*", "**", "d/**/f", "[a-c]*", "**/a", "*/a", "*/*", "**/.*", "d*",
                    "[^a-c]*", "**/e/**", "??", "a**", "**.sh",
                ])
                .to_owned(),
        }
    }
}
