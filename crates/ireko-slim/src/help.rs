//! What else a program is seen to ask for: files that no shared object names.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};

/// A kind of files that a program reads at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Help {
    /// It looks up names of hosts: `/etc/nsswitch.conf`, and modules for what that names beside `files` and `dns`.
    HostNames,
    /// It looks up users or groups: `/etc/passwd`, `/etc/group`.
    Users,
    /// It converts to local time: `/usr/share/zoneinfo`.
    TimeZones,
    /// It checks certificates: `/etc/ssl/certs`.
    Authorities,
    /// It converts character sets: `gconv`.
    CharacterSets,
    /// It loads shared objects by names that only it knows.
    Unseen,
}

/// Functions by which it is seen.
const FUNCTIONS: [(&str, Help); 31] = [
    ("getaddrinfo", Help::HostNames),
    ("gethostbyaddr", Help::HostNames),
    ("gethostbyname", Help::HostNames),
    ("gethostbyname2", Help::HostNames),
    ("gethostbyname_r", Help::HostNames),
    ("getnameinfo", Help::HostNames),
    ("getgrent", Help::Users),
    ("getgrgid", Help::Users),
    ("getgrgid_r", Help::Users),
    ("getgrnam", Help::Users),
    ("getgrnam_r", Help::Users),
    ("getpwent", Help::Users),
    ("getpwnam", Help::Users),
    ("getpwnam_r", Help::Users),
    ("getpwuid", Help::Users),
    ("getpwuid_r", Help::Users),
    ("initgroups", Help::Users),
    ("localtime", Help::TimeZones),
    ("localtime_r", Help::TimeZones),
    ("__localtime64", Help::TimeZones),
    ("__localtime64_r", Help::TimeZones),
    ("mktime", Help::TimeZones),
    ("tzset", Help::TimeZones),
    ("SSL_CTX_set_default_verify_paths", Help::Authorities),
    ("X509_STORE_set_default_paths", Help::Authorities),
    ("X509_get_default_cert_file", Help::Authorities),
    ("gnutls_certificate_set_x509_system_trust", Help::Authorities),
    ("iconv_open", Help::CharacterSets),
    ("__gconv_open", Help::CharacterSets),
    ("dlopen", Help::Unseen),
    ("dlmopen", Help::Unseen),
];

/// Texts by which it is seen in a program that has its library inside.
const TEXTS: [(&[u8], Help); 5] = [
    (b"/etc/nsswitch.conf", Help::HostNames),
    (b"/etc/resolv.conf", Help::HostNames),
    (b"/etc/passwd", Help::Users),
    (b"/usr/share/zoneinfo", Help::TimeZones),
    (b"/etc/ssl/certs", Help::Authorities),
];

impl Help {
    /// What a program does that needs it, as a sentence's end.
    pub fn deed(self) -> &'static str {
        match self {
            Self::HostNames => "looks up names of hosts",
            Self::Users => "looks up users",
            Self::TimeZones => "tells local time",
            Self::Authorities => "checks certificates",
            Self::CharacterSets => "converts character sets",
            Self::Unseen => "loads shared objects by names that only it knows (dlopen)",
        }
    }

    /// What an object asks for by the functions that it takes from others.
    pub(crate) fn by_imports(imports: &BTreeSet<String>) -> impl Iterator<Item = Self> + '_ {
        FUNCTIONS.iter().filter(|(name, _)| imports.contains(*name)).map(|(_, help)| *help)
    }

    /// What a program asks for by texts inside it.
    pub(crate) fn by_texts(mut file: &File) -> io::Result<BTreeSet<Self>> {
        const CHUNK: usize = 1 << 20;
        let longest = TEXTS.iter().map(|(text, _)| text.len()).max().unwrap_or(0);
        let (mut found, mut room, mut kept) = (BTreeSet::new(), vec![0; CHUNK + longest], 0);
        loop {
            let count = file.read(&mut room[kept..])?;
            if count == 0 {
                return Ok(found);
            }
            let filled = kept + count;
            for (text, help) in TEXTS {
                if memchr::memmem::find(&room[..filled], text).is_some() {
                    found.insert(help);
                }
            }
            // A text may lie across two reads.
            kept = longest.min(filled);
            room.copy_within(filled - kept..filled, 0);
        }
    }
}

impl fmt::Display for Help {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.deed())
    }
}
