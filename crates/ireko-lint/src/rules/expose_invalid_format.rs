//! EXPOSE names a port of the container, and no address or port of the host: those are said when it is run.

use crate::dispatch::Step;
use crate::report::{Found, Report, Rule};
use ireko_dockerfile::Word;

pub(crate) static RULE: Rule = Rule {
    name: "ExposeInvalidFormat",
    description: "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
    url: "https://docs.docker.com/go/dockerfile/rule/expose-invalid-format/",
    experimental: false,
};

pub(crate) fn check(step: &Step, word: &Word, port: &str, report: &mut Report) {
    let Some((outside, inside)) = port.rsplit_once(':') else { return };
    if outside.bytes().any(|byte| byte != b':') {
        let detail = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
        );
        let advice = format!("write `{inside}`; `-p {port}` of `ireko run` does the mapping");
        report.add(&RULE, step.place, Found { span: step.span(word.span), detail, advice });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn mappings() {
        let of = |column: u32, port: &str, inside: &str| {
            format!(
                "2:{column}: EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'; write `{inside}`; `-p {port}` of `ireko run` does the mapping"
            )
        };
        let expected = [
            of(8, "127.0.0.1:80:80", "80"),
            of(24, "[::1]:8080:8080", "8080"),
            of(43, "5000:5000/udp", "5000/udp"),
        ];
        let text = "FROM scratch\nEXPOSE 127.0.0.1:80:80 [::1]:8080:8080    5000:5000/udp 8000\n";
        check("ExposeInvalidFormat", text, &expected.each_ref().map(String::as_str));
    }
}
