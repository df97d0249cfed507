//! COPY, ADD and WORKDIR: sources, destinations, owners and modes.

use super::Generator;

const DESTINATIONS: [&str; 36] = [
    "/x",
    "/x/",
    "x",
    "x/",
    "./x/",
    ".",
    "./",
    "/",
    "/data",
    "/data/",
    "/data/file",
    "/link",
    "/link/",
    "/link/new",
    "/filelink",
    "/dangling",
    "/dangling/",
    "/abs/",
    "/abs/n",
    "/up/",
    "/up/n",
    "/new/deep/dir/",
    "/new/deep/file",
    "/opt/private/z",
    "/data/sub",
    "/data/sub/",
    "/data/empty/back/",
    "/x/../y/",
    "//double//slash/",
    "/tmp/./t",
    "../outside",
    "/d",
    "/data/d/",
    "/triggered/",
    "/link/sub/deep",
    "/made/link/",
];

impl Generator {
    pub(super) fn copy(&mut self) -> String {
        let keyword = self.keyword("COPY");
        let mut flags = self.copy_flags();
        if self.chance(25) {
            return self.copy_from(&keyword, flags);
        }
        if self.risky && self.chance(10) {
            flags += " --from=plain";
        }
        let count = if self.chance(25) { 2 + self.random.below(2) } else { 1 };
        let sources: Vec<String> = (0..count).map(|_| self.source()).collect();
        self.spell(&keyword, &flags, sources)
    }

    pub(super) fn add(&mut self) -> String {
        let keyword = self.keyword("ADD");
        let flags = self.copy_flags();
        let mut sources = Vec::new();
        if !self.archives.is_empty() && self.chance(75) {
            let archives = self.archives.clone();
            sources.push(self.of(&archives));
        } else {
            sources.push(self.source());
        }
        if self.chance(10) {
            sources.push(self.source());
        }
        self.spell(&keyword, &flags, sources)
    }

    pub(super) fn copy_flags(&mut self) -> String {
        let mut flags = String::new();
        if self.chance(18) {
            let owner = match self.random.below(18) {
                0..=3 => "1:2",
                4 | 5 => "app",
                6 => "app:app",
                7 => "app:extra",
                8 => "1000",
                9 => "lost",
                10 => "0:0",
                11 => "1234",
                12 => "1234:77",
                13 => "77:lost",
                14 => "${NEVER_SET:-3}:4",
                15 if self.risky => "nobody",
                16 if self.risky => "app:nogroup",
                17 if self.risky => self.pick(&[":5", "5:", "a:b:c", "4294967296", "+5", "0x5", "007"]),
                _ => "5:6",
            };
            // Names need the stage's own user file.
            if self.can_run || owner.starts_with(|first: char| first.is_ascii_digit()) && owner != "1234" {
                flags += &format!(" --chown={owner}");
            }
        }
        if self.chance(12) {
            let mode = match self.random.below(10) {
                0..=2 => "755",
                3 => "0644",
                // With more bits, a later step sees what the engine makes of them.
                4 => "0755",
                5 => "0777",
                6 => "0",
                7 => "00700",
                _ => "640",
            };
            flags += &format!(" --chmod={mode}");
        }
        flags
    }

    fn copy_from(&mut self, keyword: &str, flags: String) -> String {
        let mut bare = false;
        let from = if !self.stages.is_empty() && self.chance(70) {
            let stages = self.stages.clone();
            let at = self.random.below(stages.len());
            let stage = stages[at].clone();
            bare = !self.full[at];
            if self.chance(20) { stage.to_uppercase() } else { stage }
        } else {
            self.pick(&["plain", "configured", "empty", "plain:latest"]).to_owned()
        };
        let source = match self.random.below(16) {
            0 | 1 => "/data/",
            2 => "/data/file",
            3 => "/link",
            4 => "/link/",
            5 => "/data/s*",
            6 => "/filelink",
            7 if self.risky => "/dangling",
            8 => "/abs",
            9 => "/link/sub",
            10 => "data/./sub/../sub",
            11 => "/opt",
            12 => "/up/file",
            13 => "/data/*/back",
            14 => "/link/*",
            _ => "/data",
        };
        let source = if from == "empty" { "one" } else { source };
        let source = if bare { self.pick(&["/", "*", "."]) } else { source };
        let flags = format!("{flags} --from={from}");
        self.spell(keyword, &flags, vec![source.to_owned()])
    }

    fn source(&mut self) -> String {
        let (files, dirs) = (self.files.clone(), self.dirs.clone());
        if self.risky && self.chance(12) {
            return self.pick(&["missing", "miss*ng", "a/b/c/d", "[", "d/nope"]).to_owned();
        }
        if self.ignores && !self.risky && self.chance(60) {
            return self.pick(&[".", "./", "*", "[a-z]*", "?*"]).to_owned();
        }
        let source = match self.random.below(24) {
            0 => ".".to_owned(),
            1 => "*".to_owned(),
            2..=6 if !dirs.is_empty() => self.of(&dirs),
            7 if !dirs.is_empty() => format!("{}/", self.of(&dirs)),
            8 if !dirs.is_empty() => format!("{}/.", self.of(&dirs)),
            9..=12 if !files.is_empty() => {
                let file = self.of(&files);
                self.wild(&file)
            }
            13 if !dirs.is_empty() => format!("{}*", self.of(&dirs)),
            14 => self.pick(&["./", "/", "..", "../../", "d*/..", "./././"]).to_owned(),
            15 => self.pick(&["[a-c]*", "*.txt", "?*", "[!x]*", "[^x]*", "*/*", "**/*.txt", "**"]).to_owned(),
            _ if !files.is_empty() => self.of(&files),
            _ => ".".to_owned(),
        };
        match self.random.below(10) {
            0 => format!("./{source}"),
            1 => format!("/{source}"),
            2 => format!("../{source}"),
            3 => format!("d/../{source}"),
            _ => source,
        }
    }

    /// A pattern that matches this path.
    fn wild(&mut self, path: &str) -> String {
        let letters: Vec<char> = path.chars().collect();
        let at = self.random.below(letters.len());
        if letters[at] == '/' {
            return path.to_owned();
        }
        let (before, after): (String, String) =
            (letters[..at].iter().collect(), letters[at + 1..].iter().collect());
        let one = letters[at];
        match self.random.below(5) {
            0 => format!("{before}?{after}"),
            1 if one.is_alphanumeric() => format!("{before}[{one}]{after}"),
            2 => format!("{before}[a-z]{after}"),
            // A backslash means something in a pattern only.
            3 if one.is_alphanumeric() => format!("{before}{0}{0}{one}{after}*", self.escape),
            _ => format!(
                "{before}*{}",
                after.split_once('/').map_or(String::new(), |(_, rest)| format!("/{rest}"))
            ),
        }
    }

    fn destination(&mut self, several: bool, dirs: bool) -> String {
        let mut destination = self.pick(&DESTINATIONS).to_owned();
        if self.risky && self.chance(8) {
            destination =
                self.pick(&["/loop/x", "/loop", "/filelink/x", "/data/file/x", "/bin/sh/x/"]).to_owned();
        }
        if (several || dirs)
            && !self.risky
            && ["/data/file", "/filelink", "/link/new"].contains(&destination.as_str())
        {
            destination = "/data/".to_owned();
        }
        if self.chance(8) {
            destination = format!("/v{}/", self.reference());
        }
        if several && !destination.ends_with('/') && !(self.risky && self.chance(30)) {
            destination.push('/');
        }
        destination
    }

    /// In the plain form, or as JSON where a name asks for it.
    fn spell(&mut self, keyword: &str, flags: &str, sources: Vec<String>) -> String {
        let odd = sources.iter().any(|source| source.contains([' ', '\n', '"', '\'', '\\', '`', '#']));
        let odd = odd || sources.iter().any(|source| source.contains('$'));
        let is_dir = |source: &String| {
            self.dirs.iter().any(|dir| source.contains(dir.as_str())) || source.ends_with(['.', '/'])
        };
        let dirs = sources.iter().any(is_dir) || flags.contains("--from");
        let several = sources.len() > 1 || sources.iter().any(|source| source.contains(['*', '?', '[']));
        let destination = self.destination(several, dirs);
        if odd || self.chance(15) {
            // Words are still unquoted after the array was read.
            let plain = |word: &String| {
                let mut text = String::new();
                for one in word.chars() {
                    if "'\"$\\`".contains(one) && !word.contains(&format!("{0}{0}", self.escape)) {
                        text.push(self.escape);
                    }
                    text.push(one);
                }
                text
            };
            let mut words: Vec<String> = sources.iter().map(plain).collect();
            words.push(destination);
            let words: Vec<String> =
                words.into_iter().map(|word| serde_json::Value::from(word).to_string()).collect();
            let gap = self.pick(&[", ", ",", " , "]);
            return format!("{keyword}{flags} [{}]", words.join(gap));
        }
        format!("{keyword}{flags} {} {destination}", sources.join(" "))
    }

    pub(super) fn workdir(&mut self) -> String {
        let keyword = self.keyword("WORKDIR");
        let dir = match self.random.below(16) {
            0 => "rel".to_owned(),
            1 => "rel/er".to_owned(),
            2 => "/data".to_owned(),
            3 => "/link/in".to_owned(),
            4 => "/link".to_owned(),
            5 => "..".to_owned(),
            6 => format!("/w{}", self.reference()),
            7 => "/spa ce/d".to_owned(),
            8 => "/up/w".to_owned(),
            9 => "/abs".to_owned(),
            10 => "\"/quoted dir\"".to_owned(),
            11 => "/b/./c/".to_owned(),
            12 => ".".to_owned(),
            13 if self.risky => {
                self.pick(&["/dangling/x", "/filelink", "/loop/x", "/data/file/x"]).to_owned()
            }
            14 => "/dangling".to_owned(),
            _ => "/fresh/work".to_owned(),
        };
        format!("{keyword} {dir}")
    }
}
