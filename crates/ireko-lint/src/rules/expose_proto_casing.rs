//! Protocols of EXPOSE are in small letters.

use crate::dispatch::Step;
use crate::report::{Found, Report, Rule};
use ireko_dockerfile::Word;

pub(crate) static RULE: Rule = Rule {
    name: "ExposeProtoCasing",
    description: "Protocol in EXPOSE instruction should be lowercase",
    url: "https://docs.docker.com/go/dockerfile/rule/expose-proto-casing/",
    experimental: false,
};

pub(crate) fn check(step: &Step, word: &Word, port: &str, report: &mut Report) {
    let container = port.rsplit(':').next().unwrap_or(port);
    let Some((number, protocol)) = container.split_once('/') else { return };
    let lower = protocol.to_lowercase();
    if protocol != lower && matches!(&*lower, "tcp" | "udp" | "sctp") {
        let detail = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
        let advice = format!("write `{number}/{lower}`");
        report.add(&RULE, step.place, Found { span: step.span(word.span), detail, advice });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn protocols() {
        check(
            "ExposeProtoCasing",
            "FROM scratch\nENV P=TCP\nEXPOSE 80/TcP 81/$P 82/udp 83 84/XX\n",
            &[
                "3:8: Defined protocol '80/TcP' in EXPOSE instruction should be lowercase; write `80/tcp`",
                "3:15: Defined protocol '81/TCP' in EXPOSE instruction should be lowercase; write `81/tcp`",
            ],
        );
    }
}
