//! Debian archives: control files, versions, signatures, which packages a request needs, and what is in a package.
//!
//! Nothing here runs a program of Debian's, and nothing is believed that is not signed: an archive's `InRelease` names
//! the hashes of its lists, and these the hashes of its packages. What is chosen for a request is what apt would choose
//! with the same lists, so that an image is not a surprise to who knows apt.
//!
//! From a machine's configuration to files: [`host`] reads what apt is configured to ([`apt_conf`], [`sources`],
//! [`logins`]), [`archive`] fetches a source's [`release`] and its lists, believes them by [`openpgp`], and fetches
//! packages. From lists to packages: [`index`] has what there is, with its [`relation`]s, and [`mod@resolve`] what a
//! request needs. Beside them: [`control`] reads paragraphs of fields, [`version`] orders versions, [`package`] opens
//! package files. No clock is read: the time is a parameter.
//!
//! ```
//! use ireko_deb::{control, version};
//! let text = "Package: hello\nVersion: 2.10-3\n";
//! let hello = control::paragraphs(text).next().expect("one").expect("well formed");
//! assert!(version::compare(hello.get("version").unwrap_or_default(), "2.10").is_gt());
//! ```
#![forbid(unsafe_code)]

pub mod apt_conf;
pub mod archive;
pub mod control;
pub mod host;
pub mod index;
pub mod installed;
pub mod logins;
pub mod openpgp;
pub mod package;
pub mod relation;
pub mod release;
pub mod resolve;
pub mod sources;
pub mod version;

#[cfg(test)]
use ireko_testkit::signing as testing;
