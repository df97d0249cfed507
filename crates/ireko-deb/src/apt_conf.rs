//! The configuration of apt (`apt.conf`), as far as it says how an archive is reached.

use ireko_http::Proxies;

/// Settings in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AptConf {
    settings: Vec<(String, String)>,
}

/// A text that is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadConf {
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong.
    pub problem: &'static str,
}

impl AptConf {
    /// Adds what a text says, behind what is known. `#include` is not followed.
    ///
    /// # Errors
    /// A text, a comment or a group that is not closed, or one that is closed twice.
    pub fn add(&mut self, text: &str) -> Result<(), BadConf> {
        let mut scopes: Vec<String> = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        let mut tokens = Tokens { rest: text, line: 1 };
        while let Some(token) = tokens.next_token()? {
            match token {
                Token::Word(word) => words.push(word),
                Token::End => self.statement(&scopes, &std::mem::take(&mut words)),
                Token::Open => {
                    let words = std::mem::take(&mut words);
                    if words.len() > 1 {
                        self.statement(&scopes, &words);
                    }
                    scopes.push(words.into_iter().next().unwrap_or_default().text);
                }
                Token::Close => {
                    self.statement(&scopes, &std::mem::take(&mut words));
                    let problem = "a `}` closes nothing";
                    scopes.pop().ok_or(BadConf { line: tokens.line, problem })?;
                }
            }
        }
        if !scopes.is_empty() {
            return Err(BadConf { line: tokens.line, problem: "a `{` is not closed" });
        }
        self.statement(&[], &words);
        Ok(())
    }

    fn statement(&mut self, scopes: &[String], words: &[Word]) {
        let name = |last: &str| {
            let parts: Vec<&str> = scopes.iter().map(String::as_str).chain([last]).collect();
            parts.join("::").to_ascii_lowercase()
        };
        match words {
            [] => {}
            [clear, rest @ ..] if clear.text.eq_ignore_ascii_case("#clear") => {
                for word in rest {
                    let (gone, below) = (name(&word.text), format!("{}::", name(&word.text)));
                    self.settings.retain(|(name, _)| *name != gone && !name.starts_with(&below));
                }
            }
            [include, ..] if include.text.eq_ignore_ascii_case("#include") => {}
            [only] if only.is_quoted => self.settings.push((name(""), only.text.clone())),
            [only] => self.settings.push((name(&only.text), String::new())),
            [first, value, ..] => self.settings.push((name(&first.text), value.text.clone())),
        }
    }

    /// The value of a setting such as `APT::Architecture`, whatever the case of its name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let is_it = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.settings.iter().rev().find(is_it).map(|(_, value)| value.as_str())
    }

    /// Whether a setting is on, if anything is said about it.
    pub fn is_on(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?.to_ascii_lowercase();
        match value.as_str() {
            "yes" | "true" | "with" | "on" | "enable" | "1" => Some(true),
            "no" | "false" | "without" | "off" | "disable" | "0" => Some(false),
            _ => None,
        }
    }

    /// The file of certificate authorities for archives, in addition to the machine's.
    pub fn ca_file(&self) -> Option<&str> {
        self.get("Acquire::https::CAInfo").filter(|file| !file.is_empty())
    }

    /// Its proxies, where it names any; `DIRECT` means none, for all or for a host.
    pub fn proxies(&self) -> Proxies {
        let own = |name: &str| self.get(name).filter(|value| !value.is_empty());
        let usable = |value: Option<&str>| {
            value.filter(|value| !["DIRECT", "false"].contains(value)).map(str::to_owned)
        };
        let http = own("Acquire::http::Proxy");
        let https = own("Acquire::https::Proxy").or(http);
        let direct = self.settings.iter().filter_map(|(name, value)| {
            let host = ["acquire::http::proxy::", "acquire::https::proxy::"]
                .iter()
                .find_map(|it| name.strip_prefix(it));
            host.filter(|host| !host.is_empty() && value == "DIRECT")
        });
        let direct: Vec<&str> = direct.collect();
        let no_proxy = (!direct.is_empty()).then(|| direct.join(","));
        Proxies { http: usable(http), https: usable(https), no_proxy }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Word {
    text: String,
    is_quoted: bool,
}

enum Token {
    Word(Word),
    Open,
    Close,
    End,
}

struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Tokens<'a> {
    fn next_token(&mut self) -> Result<Option<Token>, BadConf> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.pass(blank);
            let is_comment = self.rest.starts_with("//")
                || (self.rest.starts_with('#') && !self.begins("#clear") && !self.begins("#include"));
            if is_comment {
                self.pass(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let end = self.until("*/", 2, "a comment is not closed")?;
                self.pass(end + 2);
            } else {
                break;
            }
        }
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let token = match first {
            '{' => Token::Open,
            '}' => Token::Close,
            ';' => Token::End,
            '"' => {
                let end = self.until("\"", 1, "a text is not closed")?;
                let text = self.rest[1..end].to_owned();
                self.pass(end + 1);
                return Ok(Some(Token::Word(Word { text, is_quoted: true })));
            }
            _ => {
                let end = self.rest.find(|letter: char| letter.is_whitespace() || "{};\"".contains(letter));
                let text = self.pass(end.unwrap_or(self.rest.len())).to_owned();
                return Ok(Some(Token::Word(Word { text, is_quoted: false })));
            }
        };
        self.pass(1);
        Ok(Some(token))
    }

    fn begins(&self, word: &str) -> bool {
        self.rest.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
    }

    fn until(&self, end: &str, from: usize, problem: &'static str) -> Result<usize, BadConf> {
        let rest = self.rest.get(from..).unwrap_or_default();
        rest.find(end).map(|at| at + from).ok_or(BadConf { line: self.line, problem })
    }

    fn pass(&mut self, bytes: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.matches('\n').count();
        self.rest = rest;
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> AptConf {
        let mut conf = AptConf::default();
        conf.add(text).expect("well formed");
        conf
    }

    #[test]
    fn settings() {
        let conf = read(
            "// one\n# two\n/* three\n { */ APT::Architecture \"arm64\";\nAPT { Architectures { \"arm64\"; \"amd64\"; };\n\
             Get::Assume-Yes true; };\nacquire::Check-Valid-Until \"false\";\nDir::Etc \"a\" ;\n#clear Dir::Etc;\nx::y::;",
        );
        assert_eq!(conf.get("apt::architecture"), Some("arm64"));
        assert_eq!(conf.get("APT::Architectures::"), Some("amd64"));
        assert_eq!(conf.is_on("APT::Get::Assume-Yes"), Some(true));
        assert_eq!(conf.is_on("Acquire::Check-Valid-Until"), Some(false));
        assert_eq!((conf.get("Dir::Etc"), conf.is_on("none")), (None, None));
        for (text, line) in [("\na {", 2), ("}", 1), ("a \"b\n", 1), ("\n\n/* a", 3)] {
            assert_eq!(AptConf::default().add(text).map_err(|bad| bad.line), Err(line), "{text}");
        }
    }

    #[test]
    fn proxies() {
        let conf = read(
            "Acquire { http { Proxy \"http://p:3128\"; Proxy::mirror.corp \"DIRECT\"; }; https::Proxy \"DIRECT\"; };",
        );
        let (http, no_proxy) = (Some("http://p:3128".to_owned()), Some("mirror.corp".to_owned()));
        assert_eq!(conf.proxies(), Proxies { http: http.clone(), https: None, no_proxy });
        let both = read("Acquire::http::Proxy \"http://p:3128\";").proxies();
        assert_eq!(both, Proxies { http: http.clone(), https: http, no_proxy: None });
        assert_eq!(AptConf::default().proxies(), Proxies::default());
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "([a#{};\" \n/*:é]|#clear |//){0,40}") {
            let _ = AptConf::default().add(&text);
        }
    }
}
