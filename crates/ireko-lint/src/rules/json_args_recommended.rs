//! CMD and ENTRYPOINT are arrays: the shell that stands between otherwise takes the signals and does not pass them on.
//! Who has chosen a shell by SHELL wants one.

use crate::dispatch::Step;
use crate::report::{Found, Report, Rule};
use ireko_dockerfile::{Command, array_advice};

pub(crate) static RULE: Rule = Rule {
    name: "JSONArgsRecommended",
    description: "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    url: "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
    experimental: false,
};

pub(crate) fn check(step: &Step, command: &Command, has_shell: bool, report: &mut Report) {
    let Command::Shell(line) = command else { return };
    if has_shell {
        return;
    }
    let word = step.keyword;
    let detail =
        format!("JSON arguments recommended for {word} to prevent unintended behavior related to OS signals");
    let advice = match array(&line.value) {
        _ if let Some(advice) = array_advice(&line.value) => format!("this is no JSON: {advice}"),
        Some(array) => format!("write `{word} {array}`"),
        None => format!(
            "write `{word} [\"program\", \"argument\"]`, or say which shell is wanted by `SHELL [\"/bin/sh\", \"-c\"]` above it"
        ),
    };
    report.add(&RULE, step.place, Found { span: step.span(line.span), detail, advice });
}

/// The line as an array, where no shell has to understand it.
fn array(line: &str) -> Option<String> {
    let is_plain = |ch: char| ch.is_ascii_alphanumeric() || " /._-:=,+@%".contains(ch);
    let first = line.split_whitespace().next()?;
    if line.len() > 80
        || !line.chars().all(is_plain)
        || first.contains('=')
        || matches!(first, "exec" | "cd" | ".")
    {
        return None;
    }
    let words: Vec<String> = line.split_whitespace().map(|word| format!("\"{word}\"")).collect();
    Some(format!("[{}]", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use crate::tests::{Case, check};

    #[test]
    fn shell_forms() {
        let rule = "JSONArgsRecommended";
        check(
            rule,
            "FROM scratch\nCMD run -a b\nENTRYPOINT run $A && x\n",
            &[
                "2:5: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals; write `CMD [\"run\", \"-a\", \"b\"]`",
                "3:12: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals; write `ENTRYPOINT [\"program\", \"argument\"]`, or say which shell is wanted by `SHELL [\"/bin/sh\", \"-c\"]` above it",
            ],
        );
        check(
            rule,
            "FROM scratch\nCMD [\"a\\d\"]\n",
            &[
                "2:5: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals; this is no JSON: in a JSON string a backslash is written twice: [\"C:\\\\one\"]",
            ],
        );
        check(rule, "FROM scratch\nCMD [\"run\"]\nENTRYPOINT []\nRUN x\n", &[]);
        check(rule, "FROM scratch\nSHELL [\"/sh\"]\nCMD run\n", &[]);
        check(rule, "FROM scratch AS a\nSHELL [\"/sh\"]\nFROM a\nCMD run\n", &[]);
        check(rule, "FROM scratch\n# check=skip=JSONArgsRecommended\nCMD run\n", &[]);
    }

    #[test]
    fn shells_of_base_images() {
        let case = Case::new("JSONArgsRecommended", "FROM app\nCMD run\n");
        case.clone().base("app", |config| config.config.shell = vec!["/sh".to_owned()]).finds(&[]);
        // What is not known may have one.
        case.clone().finds(&[]);
        case.base("app", |_| {}).finds(&[
            "2:5: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals; write `CMD [\"run\"]`",
        ]);
    }
}
