//! Instructions that only change the config.

use super::Generator;

impl Generator {
    pub(super) fn user(&mut self) -> String {
        let user = self.pick(&[
            "app",
            "1000",
            "1000:1001",
            "lost",
            "root",
            "0",
            "app:extra",
            "${UNSET:-7}",
            "5:lost",
        ]);
        let user =
            if user.starts_with(|first: char| first.is_ascii_digit()) || self.can_run { user } else { "9" };
        // Later steps must still be able to write, mostly.
        let user = if self.chance(40) { "root" } else { user };
        let user = if self.can_run { user } else { "0" };
        format!("{} {user}", self.keyword("USER"))
    }

    pub(super) fn setting(&mut self) -> String {
        match self.random.below(20) {
            0..=2 => self.expose(),
            3 | 4 => self.volume(),
            5..=7 => self.command("CMD"),
            8..=10 => self.command("ENTRYPOINT"),
            11 | 12 => self.health(),
            13 => self.shell(),
            14 => {
                let keyword = self.keyword("STOPSIGNAL");
                let signal = self.pick(&[
                    "9",
                    "SIGTERM",
                    "SIGUSR1",
                    "sigkill",
                    "HUP",
                    "${UNSET:-SIGINT}",
                    "SIGRTMIN+3",
                ]);
                let signal = if self.risky && self.chance(25) {
                    self.pick(&["SIGNOPE", "-1", "0", "999", "a b"])
                } else {
                    signal
                };
                format!("{keyword} {signal}")
            }
            15..=17 => self.trigger(),
            18 => format!(
                "{} {}",
                self.keyword("MAINTAINER"),
                self.pick(&["Me <me@example.org>", "$A", "\"quoted me\"", "a  b"])
            ),
            _ => self.label(),
        }
    }

    fn expose(&mut self) -> String {
        let mut ports = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let port = match self.random.below(12) {
                0 => "80/udp",
                1 => "8000-8003",
                2 => "8000-8001/udp",
                3 => "${UNSET:-99}",
                4 => "443/TCP",
                5 => "53/sctp",
                6 if self.risky => self.pick(&[
                    "a",
                    "70000",
                    "80/nope",
                    "90-80",
                    "1:2",
                    "127.0.0.1:80:81",
                    "$UNSET",
                    "80-",
                    "-",
                ]),
                7 => "\"81\"",
                8 => "5000:5001",
                _ => "80",
            };
            ports.push(port);
        }
        format!("{} {}", self.keyword("EXPOSE"), ports.join(" "))
    }

    fn volume(&mut self) -> String {
        let volumes = self.pick(&[
            "/v1",
            "/v1 /v2",
            "[\"/v3\", \"/v 4\"]",
            "/v$A",
            "v5",
            "/data",
            "[\"$A/x\"]",
            "/v1 /q\\ v",
            "[]",
        ]);
        let volumes = if volumes == "[]" && !self.risky { "/v6" } else { volumes };
        format!("{} {volumes}", self.keyword("VOLUME"))
    }

    fn command(&mut self, word: &str) -> String {
        let command = self.pick(&[
            "echo $A",
            "[\"echo\", \"$A\"]",
            "[]",
            "exec  two   spaces",
            "[ \"a\" , \"b\\\"c\" ]",
            "[\"not\", json]",
            "['single']",
            "echo \"quoted\" 'x' \\$A",
            "[\"\"]",
            "[\"uni\\u00fc\", \"<&>\"]",
            "echo a && echo b | cat",
            "[\"tab\\t\"]",
        ]);
        let command = if self.risky && self.chance(20) {
            self.pick(&["[\"a\", 1]", "[\"a\", null]", ""])
        } else {
            command
        };
        format!("{} {command}", self.keyword(word))
    }

    fn health(&mut self) -> String {
        let keyword = self.keyword("HEALTHCHECK");
        if self.chance(15) {
            return format!("{keyword} {}", self.pick(&["NONE", "none"]));
        }
        let mut flags = String::new();
        for (flag, values) in [
            ("--interval", ["5s", "1m30s", "1h", "500ms"]),
            ("--timeout", ["3s", "2m", "1s", "1.5s"]),
            ("--start-period", ["1s", "10s", "1m", "2s"]),
            ("--retries", ["1", "3", "10", "2"]),
        ] {
            if self.chance(35) {
                flags += &format!("{flag}={} ", self.pick(&values));
            }
        }
        if self.risky && self.chance(30) {
            flags += self.pick(&[
                "--interval=1 ",
                "--retries=-1 ",
                "--nope=1 ",
                "--timeout=0.1ms ",
                "--retries=x ",
            ]);
        }
        let command =
            self.pick(&["CMD true", "CMD [\"true\", \"$A\"]", "cmd echo \"$A\" x", "CMD  two  spaces"]);
        format!("{keyword} {flags}{command}")
    }

    fn shell(&mut self) -> String {
        let shell = match self.random.below(4) {
            0 => "[\"/bin/sh\", \"-c\"]",
            1 => "[\"/bin/sh\", \"-exc\"]",
            2 => "[\"sh\",\"-c\"]",
            _ => {
                self.shell = false;
                self.pick(&["[\"/bin/cat\"]", "[\"powershell\", \"-command\"]"])
            }
        };
        format!("{} {shell}", self.keyword("SHELL"))
    }

    fn trigger(&mut self) -> String {
        let keyword = self.keyword("ONBUILD");
        if self.risky && self.chance(20) {
            return format!(
                "{keyword} {}",
                self.pick(&["FROM plain", "ONBUILD RUN true", "MAINTAINER x", "NOPE", ""])
            );
        }
        let inner = match self.random.below(6) {
            0 => self.env(),
            1 => self.copy(),
            2 => self.label(),
            3 => self.workdir(),
            4 => self.arg(),
            _ => self.run(),
        };
        format!("{keyword} {}", inner.trim_start())
    }
}
