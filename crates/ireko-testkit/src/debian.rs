//! Debian packages and an archive of them, signed, as files by their paths.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use ireko_oci::Digest;

use crate::signing::{NOW, Says, TestKey};
use crate::{Answer, Server};

/// A package.
#[derive(Clone, Debug)]
pub struct DebPackage {
    name: String,
    version: String,
    fields: String,
    control: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>, u32)>,
    /// The package file, where it is another one than these make.
    whole: Option<Vec<u8>>,
}

impl DebPackage {
    /// One without files, for all architectures.
    pub fn new(name: &str, version: &str) -> Self {
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { name, version, fields: String::new(), control: Vec::new(), files: Vec::new(), whole: None }
    }

    /// The same with a field, such as `Depends`.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields += &format!("{name}: {value}\n");
        self
    }

    /// The same with a member of the control part, such as `postinst`.
    #[must_use]
    pub fn control(mut self, name: &str, text: &str) -> Self {
        self.control.push((name.to_owned(), text.to_owned()));
        self
    }

    /// The same with a file.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.push((path.to_owned(), content.into(), mode));
        self
    }

    /// The same with other bytes as its package file; the list says of it what it did.
    #[must_use]
    pub fn whole(mut self, bytes: Vec<u8>) -> Self {
        self.whole = Some(bytes);
        self
    }

    /// The same with another data part, under the name of that member: `data.tar.xz`.
    #[must_use]
    pub fn data(self, member: &str, bytes: &[u8]) -> Self {
        let control = self.control_part();
        self.whole(ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), (member, bytes)]))
    }

    /// Its control part.
    pub fn control_part(&self) -> Vec<u8> {
        let mut control = vec![("control".to_owned(), self.paragraph().into_bytes(), 0o644)];
        control
            .extend(self.control.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes(), 0o755)));
        tar(&control)
    }

    /// Its control file.
    pub fn paragraph(&self) -> String {
        let (name, version, fields) = (&self.name, &self.version, &self.fields);
        format!("Package: {name}\nVersion: {version}\nArchitecture: all\n{fields}Description: {name}\n")
    }

    /// The package file.
    pub fn bytes(&self) -> Vec<u8> {
        if let Some(bytes) = &self.whole {
            return bytes.clone();
        }
        let (control, data) = (self.control_part(), tar(&self.files));
        ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)])
    }
}

/// An archive of `ar` of these members.
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        writeln!(out, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, bytes.len()).unwrap();
        out.extend(*bytes);
        out.extend(vec![b'\n'; bytes.len() % 2]);
    }
    out
}

/// One entry of a tar, whatever its name is: its type as a tar has it, what it links to, and its bytes.
pub fn raw_entry(name: &str, kind: u8, link: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    header.set_entry_type(tar::EntryType::new(kind));
    (header.as_gnu_mut().unwrap().name[..name.len()]).copy_from_slice(name.as_bytes());
    (header.as_gnu_mut().unwrap().linkname[..link.len()]).copy_from_slice(link.as_bytes());
    if matches!(kind, b'3' | b'4') {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    }
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn tar(files: &[(String, Vec<u8>, u32)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    // As dpkg-deb does it, each directory comes before what it holds.
    let parents = |path: &str| -> Vec<String> {
        path.match_indices('/').map(|(at, _)| format!("./{}/", &path[..at])).collect()
    };
    for dir in files.iter().flat_map(|(path, ..)| parents(path)).collect::<BTreeSet<_>>() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(0o755);
        builder.append_data(&mut header, dir, &[][..]).unwrap();
    }
    for (path, content, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        builder.append_data(&mut header, format!("./{path}"), &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An archive of several suites with the component `main`.
#[derive(Default)]
pub struct DebArchive {
    files: BTreeMap<String, Vec<u8>>,
}

impl DebArchive {
    /// The key that signs it.
    pub fn key() -> Vec<u8> {
        TestKey::new(1).usual()
    }

    /// The same with a suite in the directory of that name. `fields` are those of its Release file: `Origin` and so on.
    #[must_use]
    pub fn suite(mut self, directory: &str, fields: &str, packages: &[DebPackage]) -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let mut list = String::new();
        for package in packages {
            let (bytes, name) = (package.bytes(), format!("pool/{}_{}.deb", package.name, package.version));
            let (size, hash) = (bytes.len(), Digest::of(&bytes).hex());
            list += &format!("{}Filename: {name}\nSize: {size}\nSHA256: {hash}\n\n", package.paragraph());
            self.files.insert(name, bytes);
        }
        let place = format!("main/binary-{architecture}/Packages");
        let release = format!(
            "{fields}Date: Wed, 01 Jan 2025 00:00:00 UTC\nComponents: main\nArchitectures: {architecture}\nSHA256:\n {} {} {place}\n",
            Digest::of(list.as_bytes()).hex(),
            list.len()
        );
        let signed = TestKey::new(1).clear_sign(&release, &Says::new(1).at(NOW));
        self.files.insert(format!("dists/{directory}/{place}"), list.into_bytes());
        self.files.insert(format!("dists/{directory}/InRelease"), signed.into_bytes());
        self
    }

    /// Writes it below a directory.
    pub fn write(&self, root: &Path) {
        for (name, bytes) in &self.files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    /// Serves it; `slow` is done with each answer whose path it is given.
    pub fn serve(self, slow: impl Fn(&str) + Send + Sync + 'static) -> Server {
        Server::start(move |request| {
            slow(&request.path);
            let found = self.files.get(request.path.trim_start_matches('/'));
            found.map_or_else(|| Answer::status(404), |bytes| Answer::ok(bytes.clone()))
        })
    }
}
