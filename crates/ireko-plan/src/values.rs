//! Values of an image's config that not every text is: whoever writes a config without a Dockerfile asks here too.

use crate::fault::{Fault, fault};
use ireko_dockerfile::expose;
use ireko_report::Span;

/// Why a text is no such value, and what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub message: String,
    /// How one looks.
    pub hint: Option<&'static str>,
}

impl Wrong {
    /// The same of a Dockerfile.
    pub(crate) fn fault(self, code: &'static str, span: Span) -> Fault {
        let mut fault = fault(code, self.message, span);
        fault.hint = self.hint.map(str::to_owned);
        fault
    }
}

/// The ports of EXPOSE, as a config names them: a range gives several.
///
/// # Errors
/// It is none.
pub fn ports(spec: &str) -> Result<Vec<String>, Wrong> {
    let wrong = |why| Wrong {
        message: format!("cannot expose `{spec}`: {why}"),
        hint: Some("write a port or a range, such as 80, 53/udp or 8000-8010"),
    };
    let ports = expose::parse(spec).map_err(wrong)?;
    Ok(ports.iter().map(|port| format!("{}/{}", port.port, port.protocol)).collect())
}

/// The path of a VOLUME.
///
/// # Errors
/// It is empty.
pub fn volume(path: &str) -> Result<(), Wrong> {
    match path {
        "" => Err(Wrong { message: "the path of a VOLUME is empty".to_owned(), hint: None }),
        _ => Ok(()),
    }
}

/// Names of signals, without `SIG`; real-time ones are counted apart.
const SIGNALS: [&str; 35] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN",
];

/// The signal of STOPSIGNAL.
///
/// # Errors
/// It is none.
pub fn stop_signal(text: &str) -> Result<(), Wrong> {
    match is_signal(text) {
        true => Ok(()),
        false => Err(Wrong { message: format!("`{text}` is not a signal"), hint: None }),
    }
}

/// Whether the text is a signal's number or name.
fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i32>() {
        return number != 0;
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let offset = |prefix: &str, most: u32| {
        let offset = name.strip_prefix(prefix).and_then(|rest| rest.parse::<u32>().ok());
        offset.is_some_and(|offset| (1..=most).contains(&offset))
    };
    SIGNALS.contains(&name) || name == "RTMAX" || offset("RTMIN+", 15) || offset("RTMAX-", 14)
}
