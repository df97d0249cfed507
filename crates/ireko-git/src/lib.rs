//! Files out of git repositories: what a reference means today, a local copy of it, and its files in a directory.
//!
//! Everything blocks, and the program `git` does the work (decision 0008). It sees no configuration of the machine
//! or the person, asks nobody anything, runs no hook and no helper, and may speak only the four network protocols.
//! Credentials reach it through its environment alone and are taken out of whatever it says.
//!
//! Read in this order: [`Git::repository`], [`Repository::resolve`], [`Repository::fetch`], [`Fetched::checkout`].
//!
//! ```no_run
//! use ireko_git::{Auth, Checkout, Git, Options, Want, Watch};
//! use std::path::Path;
//! let git = Git::new(Options { path: "/usr/bin".into(), ..Options::default() });
//! let watch = Watch { cancelled: &|| false, said: &|line| println!("{line}") };
//! let store = Path::new("/var/cache/git");
//! let repository = git.repository("https://example.com/app.git", Auth::default(), store, watch);
//! let resolved = repository.resolve(&Want { reference: "main".to_owned(), ..Want::default() })?;
//! let fetched = repository.fetch(&resolved)?;
//! fetched.checkout(&Checkout::default(), Path::new("/tmp/app"), Path::new("/tmp/scratch"))?;
//! # Ok::<(), ireko_git::GitError>(())
//! ```
#![forbid(unsafe_code)]

mod address;
mod auth;
mod checkout;
mod command;
mod error;
mod fetch;
mod file;
mod resolve;
mod said;
mod submodule;
mod tidy;

#[cfg(test)]
mod tests;

pub use address::Address;
pub use auth::{Auth, SecretKind, SshAuth, secret_ids};
pub use checkout::{Checkout, Mtime};
pub use command::{Git, Options, PASSED, Watch};
pub use error::GitError;
pub use fetch::Fetched;
pub use file::Found;
pub use resolve::{Resolved, Want};

use std::path::{Path, PathBuf};

use auth::Session;

/// One repository elsewhere, and how it may be reached.
pub struct Repository<'a> {
    git: &'a Git,
    address: Address,
    session: Session,
    store: PathBuf,
    watch: Watch<'a>,
}

impl Git {
    /// A repository by its address: a URL or `user@host:path`. A user name and a password in an `http` URL are taken
    /// out of it and used where `auth` has none. What is fetched is kept below `store`, which may be shared by many
    /// processes and is made where it is missing.
    pub fn repository<'a>(&'a self, url: &str, auth: Auth, store: &Path, watch: Watch<'a>) -> Repository<'a> {
        let (address, credentials) = Address::parse(url);
        let session = Session::new(&address, auth, credentials);
        Repository { git: self, address, session, store: store.to_owned(), watch }
    }
}

impl Repository<'_> {
    /// Its address, without credentials.
    pub fn address(&self) -> &Address {
        &self.address
    }
}
