//! A case: a Dockerfile, a context, an ignore file and flags, as data that can be written out, kept and shrunk.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// One input for both builders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    /// Lines before the first instruction: directives and comments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) head: Vec<String>,
    /// The instructions, each with its continuation lines.
    pub(crate) dockerfile: Vec<String>,
    /// Lines end as on Windows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) crlf: bool,
    /// Flags of the build, without context and Dockerfile; one flag and its value each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) flags: Vec<String>,
    /// The lines of `.dockerignore`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ignore: Vec<String>,
    /// The files of the context, parents before what lies in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) context: Vec<Entry>,
}

/// A file of the context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: String,
    /// Permission bits, in octal.
    pub(crate) mode: String,
    pub(crate) kind: Kind,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    File(String),
    Directory,
    Symlink(String),
    /// Another name of an earlier file.
    Hard(String),
    /// An archive: how it is compressed, and what is in it.
    Archive(Compression, Vec<Member>),
}

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
}

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// `file`, `directory`, `symlink`, `hard` or `fifo`.
    pub(crate) kind: String,
    /// Content of a file, target of a link.
    pub(crate) text: String,
    pub(crate) mode: String,
    pub(crate) owner: (u64, u64),
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Case {
    /// The text of the Dockerfile.
    pub(crate) fn text(&self) -> String {
        let mut lines = self.head.clone();
        lines.extend(self.dockerfile.iter().cloned());
        let text = lines.join("\n") + "\n";
        if self.crlf { text.replace('\n', "\r\n") } else { text }
    }

    /// Writes the context and the Dockerfile below `dir`: `context/`, `Dockerfile`, `secret`.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let context = dir.join("context");
        fs::create_dir_all(&context)?;
        fs::write(dir.join("Dockerfile"), self.text())?;
        fs::write(dir.join("secret"), "hush")?;
        if !self.ignore.is_empty() {
            fs::write(context.join(".dockerignore"), self.ignore.join("\n") + "\n")?;
        }
        for entry in &self.context {
            let path = context.join(&entry.path);
            entry.write(&context, &path).with_context(|| format!("cannot write `{}`", entry.path))?;
        }
        self.set_modes(dir)
    }

    /// Sets the modes of what was written; a change of owners takes bits away.
    pub(crate) fn set_modes(&self, dir: &Path) -> Result<()> {
        // Deepest first, so that a directory without permissions keeps nobody out who is not root.
        for entry in self.context.iter().rev() {
            if !matches!(entry.kind, Kind::Symlink(_) | Kind::Hard(_)) {
                let mode = fs::Permissions::from_mode(mode(&entry.mode)?);
                fs::set_permissions(dir.join("context").join(&entry.path), mode)?;
            }
        }
        Ok(())
    }
}

impl Entry {
    fn write(&self, context: &Path, path: &Path) -> Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match &self.kind {
            Kind::File(text) => fs::write(path, text)?,
            Kind::Directory => fs::create_dir_all(path)?,
            Kind::Symlink(to) => symlink(to, path)?,
            Kind::Hard(to) => fs::hard_link(context.join(to), path)?,
            Kind::Archive(compression, members) => fs::write(path, archive(*compression, members)?)?,
        }
        Ok(())
    }
}

/// Octal text as permission bits.
fn mode(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 8).with_context(|| format!("`{text}` is no mode"))
}

/// The bytes of an archive.
fn archive(compression: Compression, members: &[Member]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(match member.kind.as_str() {
            "file" => tar::EntryType::Regular,
            "directory" => tar::EntryType::Directory,
            "symlink" => tar::EntryType::Symlink,
            "hard" => tar::EntryType::Link,
            "fifo" => tar::EntryType::Fifo,
            other => bail!("`{other}` is no kind of member"),
        });
        header.set_mode(mode(&member.mode)?);
        header.set_uid(member.owner.0);
        header.set_gid(member.owner.1);
        header.set_mtime(1_500_000_000);
        let is_file = member.kind == "file";
        header.set_size(if is_file { member.text.len() as u64 } else { 0 });
        // Names as they are: the library's setters refuse what a hostile archive holds.
        let old = header.as_old_mut();
        put(&mut old.name, &member.name);
        if matches!(member.kind.as_str(), "symlink" | "hard") {
            put(&mut old.linkname, &member.text);
        }
        header.set_cksum();
        builder.append(&header, if is_file { member.text.as_bytes() } else { &[] })?;
    }
    let plain = builder.into_inner()?;
    match compression {
        Compression::None => Ok(plain),
        Compression::Gzip => through("gzip", &plain),
        Compression::Bzip2 => through("bzip2", &plain),
        Compression::Xz => through("xz", &plain),
    }
}

fn put(field: &mut [u8; 100], text: &str) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

/// What a program makes of these bytes. They are far below the size of a pipe.
fn through(program: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    let mut child = command
        .args(["-c", "-n"].iter().take(if program == "gzip" { 2 } else { 1 }))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{program}`"))?;
    child.stdin.take().context("no input")?.write_all(bytes)?;
    Ok(child.wait_with_output()?.stdout)
}
