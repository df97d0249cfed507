//! Words with expansions, quotes and escapes, and the instructions that are made of them.

use super::Generator;

pub(super) const VARIABLES: [&str; 8] = ["A", "B", "G", "C_1", "EMPTY", "UNSET", "LONG", "T"];

impl Generator {
    fn variable(&mut self) -> &'static str {
        VARIABLES[self.random.below(VARIABLES.len())]
    }

    /// A reference to a variable.
    pub(super) fn reference(&mut self) -> String {
        let name = self.variable();
        match self.random.below(12) {
            0..=2 => format!("${name}"),
            3..=5 => format!("${{{name}}}"),
            6 | 7 => format!("${{{name}:-{}}}", self.inner()),
            8 => format!("${{{name}:+{}}}", self.inner()),
            9 => format!("${{{name}:-${{{}:-deep}}}}", self.variable()),
            10 => format!("${{{name}:+${}}}", self.variable()),
            _ if self.risky => format!("${{{name}:?{}}}", self.inner()),
            _ => format!("${name}"),
        }
    }

    fn inner(&mut self) -> String {
        let escape = self.escape;
        match self.random.below(8) {
            0 => String::new(),
            1 => format!("{escape}}}"),
            2 => "'q'".to_owned(),
            3 => format!("${}", self.variable()),
            4 => "a:b".to_owned(),
            _ => "def".to_owned(),
        }
    }

    /// A word without blanks outside quotes.
    pub(super) fn word(&mut self) -> String {
        let mut word = String::new();
        for _ in 0..1 + self.random.below(3) {
            word += &self.piece();
        }
        word
    }

    fn piece(&mut self) -> String {
        let escape = self.escape;
        match self.random.below(22) {
            0..=5 => self.reference(),
            6 => format!("\"{}\"", self.reference()),
            7 => format!("'{}'", self.reference()),
            8 => format!("{escape}{}", self.reference()),
            9 => format!("\"{escape}{}\"", self.reference()),
            10 => format!("a{escape} b"),
            11 => format!("{escape}\""),
            12 => "\"two words\"".to_owned(),
            13 => "'single  quoted'".to_owned(),
            14 => "''".to_owned(),
            15 => format!("\"in {escape}\" {escape}n {escape}{escape} side\""),
            16 => format!("{escape}{escape}"),
            17 => "a=b".to_owned(),
            18 => "x#y".to_owned(),
            19 => format!("{escape}x"),
            20 => self
                .pick(&["$1", "$$", "$", "${A}b", "$A$B", "ünï", "a,b", "{}", "[x]", "*", "~", "\\t"])
                .to_owned(),
            _ => "plain".to_owned(),
        }
    }

    pub(super) fn env(&mut self) -> String {
        let env = self.keyword("ENV");
        if self.chance(15) {
            let name = self.variable();
            let rest: Vec<String> = (0..1 + self.random.below(3)).map(|_| self.word()).collect();
            return format!("{env} {name} {}", rest.join(self.pick(&[" ", "  "])));
        }
        let pairs: Vec<String> = (0..1 + self.random.below(3)).map(|_| self.pair()).collect();
        format!("{env} {}", pairs.join(" "))
    }

    fn pair(&mut self) -> String {
        let name = match self.random.below(20) {
            0 => "PATH",
            1 => "${A:-K}",
            _ => self.variable(),
        };
        match self.random.below(10) {
            0 => format!("{name}="),
            1 => format!("{name}=$PATH:/more"),
            _ => format!("{name}={}", self.word()),
        }
    }

    pub(super) fn arg(&mut self) -> String {
        let arg = self.keyword("ARG");
        let name = self.variable();
        match self.random.below(10) {
            0..=3 => format!("{arg} {name}"),
            4 => format!("{arg} {name}="),
            5 => format!(
                "{arg} {}",
                self.pick(&["TARGETARCH", "TARGETPLATFORM", "BUILDOS", "HTTP_PROXY", "TARGETOS"])
            ),
            // The engine expands all of them before it sets any, and forgets in the history which were given.
            6 => format!("{arg} B={} T={}", self.word(), self.pick(&["one", "\"two words\"", "'$x'", ""])),
            _ => format!("{arg} {name}={}", self.word()),
        }
    }

    pub(super) fn global_argument(&mut self) -> String {
        match self.random.below(6) {
            0 => "ARG BASE=plain".to_owned(),
            1 => "ARG G".to_owned(),
            2 => "ARG BASE".to_owned(),
            3 => format!("ARG G={} A=global", self.pick(&["one", "\"two words\"", "'$x'", ""])),
            // The engine passes over what is required and not there.
            _ => format!("ARG {}={}", self.variable(), self.word().replace(":?", ":-")),
        }
    }

    pub(super) fn label(&mut self) -> String {
        let label = self.keyword("LABEL");
        if self.chance(10) {
            return format!("{label} old {} {}", self.word(), self.word());
        }
        let mut pairs = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let key = match self.random.below(8) {
                0 => "\"quoted key\"".to_owned(),
                1 => "$A".to_owned(),
                2 => "com.example/x-y".to_owned(),
                3 => "kept".to_owned(),
                4 => format!("'{}'", self.variable()),
                _ => format!("l{}", self.random.below(4)),
            };
            pairs.push(format!("{key}={}", self.word()));
        }
        format!("{label} {}", pairs.join(" "))
    }
}
