//! Debian archives: control files, versions, signatures, which packages a request needs, and what is in a package.
//!
//! Nothing here runs a program of Debian's, and nothing is believed that is not signed: an archive's `InRelease` names
//! the hashes of its lists, and these the hashes of its packages. What is chosen for a request is what apt would choose
//! with the same lists, so that an image is not a surprise to who knows apt.
//!
//! Parts: [`control`] reads paragraphs of fields, [`version`] orders versions, [`relation`] reads what packages say of one
//! another, [`index`] holds what archives offer, [`resolve`] answers which versions a request needs.
//!
//! ```
//! use ireko_deb::{control, version};
//! let text = "Package: hello\nVersion: 2.10-3\n";
//! let hello = control::paragraphs(text).next().expect("one").expect("well formed");
//! assert!(version::compare(hello.get("version").unwrap_or_default(), "2.10").is_gt());
//! ```
#![forbid(unsafe_code)]

pub mod control;
pub mod index;
pub mod relation;
pub mod resolve;
pub mod version;
