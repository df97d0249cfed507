//! Where the dynamic loader of a root looks for shared objects (ld.so(8); musl's `ldso/dynlink.c`).

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::elf::Machine;
use crate::files::{Root, follow};

/// Whose rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    Glibc,
    Musl,
}

/// The loader of one machine in a root.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(crate) rules: Rules,
    /// The paths that the cache has for a name, in its order.
    pub(crate) cache: BTreeMap<String, Vec<String>>,
    /// Directories that are built into it.
    pub(crate) dirs: Vec<String>,
}

impl Loader {
    /// Reads what the loader at a path (`PT_INTERP`) would read, with its own built-in directories.
    pub(crate) fn of(root: &dyn Root, interpreter: &str, machine: Machine) -> io::Result<Self> {
        let name = interpreter.rsplit('/').next().unwrap_or_default();
        if let Some(arch) = name.strip_prefix("ld-musl-").and_then(|rest| rest.split('.').next()) {
            let path = text_of(root, &format!("/etc/ld-musl-{arch}.path"))?;
            let path = path.unwrap_or_else(|| "/lib:/usr/local/lib:/usr/lib".to_owned());
            let dirs = path.split([':', '\n']).filter(|dir| !dir.is_empty()).map(str::to_owned).collect();
            return Ok(Self { rules: Rules::Musl, cache: BTreeMap::new(), dirs });
        }
        Self::glibc(root, Some(interpreter), machine)
    }

    /// The same for an object that names no loader.
    pub(crate) fn glibc(root: &dyn Root, interpreter: Option<&str>, machine: Machine) -> io::Result<Self> {
        let cache = bytes_of(root, "/etc/ld.so.cache")?
            .map(|bytes| cache(&bytes, machine.is_little))
            .unwrap_or_default();
        let loader = interpreter.map(|path| bytes_of(root, path)).transpose()?.flatten();
        let mut dirs = loader.map(|bytes| built_in(&bytes)).unwrap_or_default();
        if dirs.is_empty() {
            dirs = usual(machine);
        }
        Ok(Self { rules: Rules::Glibc, cache, dirs })
    }

    /// What `$LIB` stands for.
    pub(crate) fn lib(&self, machine: Machine) -> String {
        let ends = |end: &str| self.dirs.iter().any(|dir| dir.ends_with(end));
        match machine.triplet() {
            Some(triplet) if ends(&format!("/{triplet}")) => format!("lib/{triplet}"),
            _ if machine.is_64 && ends("/lib64") => "lib64".to_owned(),
            _ => "lib".to_owned(),
        }
    }
}

fn bytes_of(root: &dyn Root, path: &str) -> io::Result<Option<Vec<u8>>> {
    // A cache of a full desktop takes 200 kB, a loader as much.
    const MAX: u64 = 64 << 20;
    let Some(place) = follow(root, path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    root.open(&place.path)?.take(MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn text_of(root: &dyn Root, path: &str) -> io::Result<Option<String>> {
    Ok(bytes_of(root, path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The directories inside a loader: absolute texts that end with a slash. Distributions choose them when they compile
/// it, so asking it beats a table.
fn built_in(loader: &[u8]) -> Vec<String> {
    let mut dirs: Vec<String> = Vec::new();
    for text in loader.split(|byte| *byte == 0) {
        let text = std::str::from_utf8(text).ok();
        let dir = text
            .filter(|text| text.starts_with('/') && text.len() > 2)
            .and_then(|text| text.strip_suffix('/'));
        if let Some(dir) = dir.filter(|dir| dir.split('/').nth(1).is_some_and(is_of_libraries))
            && !dirs.iter().any(|known| known == dir)
        {
            dirs.push(dir.to_owned());
        }
    }
    dirs
}

fn is_of_libraries(first: &str) -> bool {
    first.starts_with("lib") || ["usr", "nix", "gnu", "opt"].contains(&first)
}

fn usual(machine: Machine) -> Vec<String> {
    let mut dirs = Vec::new();
    if let Some(triplet) = machine.triplet() {
        dirs.extend([format!("/lib/{triplet}"), format!("/usr/lib/{triplet}")]);
    }
    if machine.is_64 {
        dirs.extend(["/lib64", "/usr/lib64"].map(str::to_owned));
    }
    dirs.extend(["/lib", "/usr/lib"].map(str::to_owned));
    dirs
}

/// The entries of `ld.so.cache` (glibc's `dl-cache.h`), in its newer form, which may follow the older one in one file.
/// Entries for better processors are left out: what is chosen has to run on every machine.
fn cache(bytes: &[u8], is_little: bool) -> BTreeMap<String, Vec<String>> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let Some(begin) = memchr::memmem::find(bytes, MAGIC) else { return found };
    let bytes = &bytes[begin..];
    let number = |at: usize| {
        let field = bytes.get(at..at.checked_add(4)?)?;
        let field: [u8; 4] = field.try_into().ok()?;
        usize::try_from(if is_little { u32::from_le_bytes(field) } else { u32::from_be_bytes(field) }).ok()
    };
    let text = |at: usize| {
        let rest = bytes.get(at..)?;
        let end = memchr::memchr(0, rest)?;
        std::str::from_utf8(&rest[..end]).ok().map(str::to_owned)
    };
    let count = number(MAGIC.len()).unwrap_or(0);
    for at in (0..count).map(|nth| HEADER + nth * ENTRY).take_while(|at| at + ENTRY <= bytes.len()) {
        let capabilities = &bytes[at + 16..at + ENTRY];
        if capabilities.iter().any(|byte| *byte != 0) {
            continue;
        }
        if let (Some(name), Some(path)) = (number(at + 4).and_then(&text), number(at + 8).and_then(&text)) {
            found.entry(name).or_default().push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_machine_s_cache_says_what_ldconfig_says() {
        let (Ok(bytes), Ok(said)) = (
            std::fs::read("/etc/ld.so.cache"),
            std::process::Command::new("/sbin/ldconfig").arg("-p").output(),
        ) else {
            return;
        };
        let ours = cache(&bytes, cfg!(target_endian = "little"));
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let rows: Vec<(&str, &str)> = said
            .lines()
            .filter(|line| !line.contains("hwcap") && !line.contains("x86-64-v"))
            .filter_map(|line| Some((line.trim().split_once(' ')?.0, line.rsplit_once("=> ")?.1)))
            .collect();
        assert!(rows.len() > 10, "{said}");
        for (name, path) in &rows {
            assert!(
                ours.get(*name).is_some_and(|paths| paths.iter().any(|one| one == path)),
                "{name} {path}"
            );
        }
        assert_eq!(ours.values().map(Vec::len).sum::<usize>(), rows.len());
    }

    #[test]
    fn directories_are_read_out_of_a_loader() {
        let loader =
            b"\x7fELF\0/lib/x86_64-linux-gnu/\0/usr/lib/\0/proc/self/\0lib/\0/\0//\0/lib64/\0/usr/lib/\0/lib";
        assert_eq!(built_in(loader), ["/lib/x86_64-linux-gnu", "/usr/lib", "/lib64"]);
    }

    proptest! {
        #[test]
        fn any_cache_is_read(head in any::<bool>(), rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = if head { b"glibc-ld.so.cache1.1".to_vec() } else { Vec::new() };
            bytes.extend(rest);
            let _ = cache(&bytes, head);
        }
    }
}
