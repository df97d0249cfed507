//! A small context on disk, and the ways to change it.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::random::Random;

/// Names that are never removed, so that most builds succeed.
const KEPT: [&str; 3] = ["fixed", "dir", "link"];
/// Few names, so that what was removed often comes back, perhaps as another kind of thing.
const NAMES: [&str; 8] =
    ["a.txt", "b.txt", "dir/c", "dir/d.txt", "dir/sub/e", "dir/sub/deep/f", "noise.log", ".hidden"];
const WORDS: [&str; 6] = ["one", "two", "ten", "alpha", "gamma", "delta\ndelta"];
const MODES: [u32; 6] = [0o644, 0o600, 0o755, 0o444, 0o4755, 0o664];
const IGNORES: [&str; 6] =
    ["", "*.log\n", ".*\n", "dir/sub\n!dir/sub/e\n", "**/*.txt\n!a.txt\n", "noise.log\n.dockerignore\n"];

/// A file as it was, to be put back.
struct Earlier {
    path: PathBuf,
    bytes: Vec<u8>,
    mode: u32,
    time: std::time::SystemTime,
}

/// The context folder and what was last overwritten in it.
pub(crate) struct Context {
    dir: PathBuf,
    earlier: Vec<Earlier>,
}

impl Context {
    /// Fills `dir`, which is empty.
    pub(crate) fn fill(dir: PathBuf) -> Self {
        fs::create_dir_all(dir.join("dir/sub")).unwrap();
        fs::write(dir.join("fixed"), "always here\n").unwrap();
        symlink("fixed", dir.join("link")).unwrap();
        for name in NAMES.iter().take(6) {
            fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            fs::write(dir.join(name), format!("first {name}\n")).unwrap();
        }
        Self { dir, earlier: Vec::new() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Changes something, and says what.
    pub(crate) fn edit(&mut self, random: &mut Random) -> String {
        match random.below(14) {
            0..=2 => self.change_byte(random),
            3 => self.rewrite(random),
            4 => self.put_back(random),
            5 => self.change_mode(random),
            6 => self.retarget(random),
            7 => self.rename(random),
            8 => self.remove(random),
            9 => self.add(random),
            10 => self.other_kind(random),
            11 => self.touch(random),
            12 => self.ignore(random),
            _ => self.exchange(random),
        }
    }

    /// Everything below the context, links not followed, in name order; `.dockerignore` aside.
    fn all(&self, wanted: impl Fn(&fs::Metadata) -> bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                if meta.is_dir() {
                    folders.push(path.clone());
                }
                if wanted(&meta) && !path.ends_with(".dockerignore") {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    fn files(&self) -> Vec<PathBuf> {
        self.all(fs::Metadata::is_file)
    }

    /// What may be taken away or replaced.
    fn free(&self) -> Vec<PathBuf> {
        let kept = |path: &PathBuf| KEPT.iter().any(|name| *path == self.dir.join(name));
        self.all(|_| true).into_iter().filter(|path| !kept(path)).collect()
    }

    fn remember(&mut self, path: &Path) {
        let meta = fs::metadata(path).unwrap();
        let (mode, time) = (meta.mode() & 0o7777, meta.modified().unwrap());
        self.earlier.push(Earlier { path: path.to_owned(), bytes: fs::read(path).unwrap(), mode, time });
    }

    /// Same size, modification time restored: only the content tells.
    fn change_byte(&mut self, random: &mut Random) -> String {
        let path = random.pick(&self.files()).clone();
        self.remember(&path);
        let meta = fs::metadata(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        if !bytes.is_empty() {
            let at = random.below(bytes.len());
            bytes[at] = b'a' + (bytes[at].wrapping_add(1) % 26);
        }
        if random.below(2) == 0 {
            replace(&path, &bytes, meta.mode());
        } else {
            overwrite(&path, &bytes);
        }
        set_time(&path, meta.modified().unwrap());
        format!("changed a byte of {}, size and time kept", self.name(&path))
    }

    fn rewrite(&mut self, random: &mut Random) -> String {
        let path = random.pick(&self.files()).clone();
        self.remember(&path);
        overwrite(&path, random.pick(&WORDS).as_bytes());
        format!("rewrote {}", self.name(&path))
    }

    /// What a checkout of an earlier version does, with the old time or a new one.
    fn put_back(&mut self, random: &mut Random) -> String {
        let Some(at) = self.earlier.len().checked_sub(1 + random.below(4)) else {
            return self.rewrite(random);
        };
        let Earlier { path, bytes, mode, time } = &self.earlier[at];
        if !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()) {
            return self.rewrite(random);
        }
        replace(path, bytes, *mode);
        if random.below(2) == 0 {
            set_time(path, *time);
        }
        format!("put {} back as it was", self.name(path))
    }

    fn change_mode(&mut self, random: &mut Random) -> String {
        let path = random.pick(&self.all(|meta| !meta.is_symlink())).clone();
        let mode = if path.is_dir() {
            *random.pick(&[0o755, 0o700, 0o775, 0o1777, 0o2755])
        } else {
            *random.pick(&MODES)
        };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        format!("chmod {mode:o} {}", self.name(&path))
    }

    fn retarget(&mut self, random: &mut Random) -> String {
        let path = random.pick(&self.all(fs::Metadata::is_symlink)).clone();
        let target = *random.pick(&["fixed", "a.txt", "dir/c", "nothing", "dirty", "FIXED"]);
        fs::remove_file(&path).unwrap();
        symlink(target, &path).unwrap();
        format!("{} -> {target}", self.name(&path))
    }

    fn rename(&mut self, random: &mut Random) -> String {
        let to = self.dir.join(random.pick(&NAMES));
        let free: Vec<PathBuf> = self.free().into_iter().filter(|path| !to.starts_with(path)).collect();
        if free.is_empty() || to.exists() || to.is_symlink() || !to.parent().unwrap().is_dir() {
            return self.add(random);
        }
        let from = random.pick(&free).clone();
        fs::rename(&from, &to).unwrap();
        format!("renamed {} to {}", self.name(&from), self.name(&to))
    }

    fn remove(&mut self, random: &mut Random) -> String {
        let free = self.free();
        if free.is_empty() {
            return self.add(random);
        }
        let path = random.pick(&free).clone();
        remove(&path);
        format!("removed {}", self.name(&path))
    }

    fn add(&mut self, random: &mut Random) -> String {
        let path = self.dir.join(random.pick(&NAMES));
        let parent = path.parent().unwrap();
        if fs::create_dir_all(parent).is_err() || path.is_symlink() || path.is_dir() {
            return self.rewrite(random);
        }
        // What is there may be a file that its owner cannot write.
        let _ = fs::remove_file(&path);
        fs::write(&path, random.pick(&WORDS)).unwrap();
        format!("wrote {}", self.name(&path))
    }

    /// A file becomes a directory, a link, a hard link, or the other way round.
    fn other_kind(&mut self, random: &mut Random) -> String {
        let free = self.free();
        if free.is_empty() {
            return self.add(random);
        }
        let path = random.pick(&free).clone();
        remove(&path);
        let kind = match random.below(4) {
            0 => {
                fs::create_dir(&path).unwrap();
                "an empty directory"
            }
            1 => {
                symlink(random.pick(&["fixed", "nowhere"]), &path).unwrap();
                "a link"
            }
            2 => {
                fs::hard_link(self.dir.join("fixed"), &path).unwrap();
                "a second name of `fixed`"
            }
            _ => {
                fs::write(&path, "").unwrap();
                "an empty file"
            }
        };
        format!("made {} {kind}", self.name(&path))
    }

    /// Nothing but a time: must not change what is built.
    fn touch(&mut self, random: &mut Random) -> String {
        let path = random.pick(&self.files()).clone();
        let seconds = 1_000_000_000 + random.below(700_000_000) as u64;
        set_time(&path, std::time::UNIX_EPOCH + Duration::from_secs(seconds));
        format!("touched {}", self.name(&path))
    }

    fn ignore(&mut self, random: &mut Random) -> String {
        let text = *random.pick(&IGNORES);
        fs::write(self.dir.join(".dockerignore"), text).unwrap();
        format!(".dockerignore is {text:?}")
    }

    /// Two files change places, each keeping its own inode, size and time.
    fn exchange(&mut self, random: &mut Random) -> String {
        let files = self.files();
        let (one, two) = (random.pick(&files).clone(), random.pick(&files).clone());
        let aside = self.dir.join("aside");
        fs::rename(&one, &aside).unwrap();
        if one != two {
            fs::rename(&two, &one).unwrap();
        }
        fs::rename(&aside, &two).unwrap();
        format!("exchanged {} and {}", self.name(&one), self.name(&two))
    }

    fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.dir).unwrap().display().to_string()
    }
}

fn remove(path: &Path) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::remove_dir_all(path).unwrap()
    } else {
        fs::remove_file(path).unwrap()
    }
}

/// A new inode under the old name, as editors and checkouts write.
fn replace(path: &Path, bytes: &[u8], mode: u32) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::set_permissions(&beside, Permissions::from_mode(mode & 0o7777)).unwrap();
    fs::rename(&beside, path).unwrap();
}

/// The same inode, also where the owner may not write; set-id bits survive.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

fn set_time(path: &Path, time: std::time::SystemTime) {
    // The owner may set times of a file that is not writable, but only through a descriptor.
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}
