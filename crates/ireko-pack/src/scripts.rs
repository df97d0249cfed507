//! What the maintainer scripts of a package would do to a new image, as far as their text tells.
//!
//! A script is left out where nothing is lost by that: it has no line with an effect, or what it does is known (services
//! that no image has, byte code that Python makes when it needs it), or the same is made here. Every other script has to
//! run. Only what runs when a package is installed for the first time counts (deb-preinst(5), deb-postinst(5)).

use ireko_deb::package::{Deed, Package, deeds};

/// Whether a package's scripts have to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scripts {
    /// There are none, or they do nothing.
    Idle,
    /// What they do is not missed.
    LeftOut(&'static str),
    /// They have to.
    Needed {
        /// Which one.
        script: &'static str,
        /// The first command whose effect is not known, or what the script is written in.
        needs: String,
    },
}

/// Packages that others need for their maintainer scripts alone, and what they provide. An image in which no script
/// runs has no use for them, unless they are asked for.
pub const FOR_SCRIPTS: [(&str, &str); 13] = [
    ("adduser", ""),
    ("debconf", "debconf-2.0"),
    ("cdebconf", "debconf-2.0"),
    ("dpkg", ""),
    ("init-system-helpers", ""),
    ("install-info", ""),
    ("lsb-base", ""),
    ("systemd-standalone-sysusers", "systemd-sysusers"),
    ("systemd-standalone-tmpfiles", "systemd-tmpfiles"),
    ("sysvinit-utils", ""),
    ("ucf", ""),
    ("update-inetd", ""),
    ("usr-is-merged", ""),
];

/// Whether a package, or what a package provides, is only there for scripts of others.
pub fn is_for_scripts(name: &str) -> bool {
    FOR_SCRIPTS.iter().any(|(package, provided)| [*package, *provided].contains(&name))
}

/// Packages whose scripts were read: what would be lost. A star stands for a version.
const READ: [(&str, &str); 14] = [
    ("ca-certificates", "the bundle of certificates, which is made here"),
    ("libc-bin", "/etc/nsswitch.conf, which is made here"),
    ("libc6", "checks of an older system"),
    ("libgcrypt20", "steps of an upgrade"),
    ("libgssapi-krb5-2", "steps of an upgrade"),
    ("libpam0g", "restarts of services"),
    ("libpython3.*-minimal", "byte code"),
    ("openssl", "a link to /etc/ssl, which it has"),
    ("python3", "byte code"),
    ("python3-minimal", "byte code"),
    ("python3.*", "byte code"),
    ("python3.*-minimal", "byte code"),
    ("readline-common", "/etc/inputrc, which is made here"),
    ("tzdata", "a question for the time zone: it is UTC"),
];

/// Looks at the scripts of a package.
pub fn scripts(name: &str, package: &Package) -> Scripts {
    if let Some((_, lost)) = READ.iter().find(|(pattern, _)| is_named(name, pattern)) {
        return Scripts::LeftOut(lost);
    }
    let deeds = deeds(package);
    match deeds.needed.into_iter().next() {
        Some(Deed { script, needs }) => Scripts::Needed { script, needs },
        None => deeds.passed_over.first().map_or(Scripts::Idle, |what| Scripts::LeftOut(what)),
    }
}

/// Whether a name fits a pattern, whose star stands for digits.
fn is_named(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((before, after)) => name
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_a_version() {
        assert!(is_named("python3.11-minimal", "python3.*-minimal") && is_named("python3.11", "python3.*"));
        assert!(!is_named("python3-apt", "python3.*") && !is_named("python3.11-venv", "python3.*"));
    }
}
