//! Where the Dockerfile, the ignore file and the context of a build come from.

use crate::cli::SourceArgs;
use crate::debian_context;
use crate::failure::Failure;
use crate::input::Patient;
use crate::repositories::{self, Elsewhere, Repository};
use ireko_dockerfile::gitref::GitRef;
use ireko_exec::{Cancel, Fetcher, Workplace};
use ireko_graph::Op;
use ireko_graph::op::{HttpSource, shown};
use ireko_oci::Reference;
use ireko_plan::ContextSpec;
use ireko_report::Event;
use ireko_sys::fsx::open_in_root;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Names of the file that is built, in the order they are tried.
const NAMES: [&str; 3] = ["Dockerfile", "dockerfile", "Containerfile"];

/// What is to be built.
#[derive(Debug)]
pub(crate) struct Source {
    /// The Dockerfile's name in messages.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: Vec<u8>,
    /// The main context.
    pub(crate) context: Context,
    /// Lines of the ignore file and its name, if there is one.
    pub(crate) ignore: Option<(String, Vec<u8>)>,
    /// Named contexts as the planner wants them.
    pub(crate) named: BTreeMap<String, ContextSpec>,
    /// The file that the context came as, where it did.
    pub(crate) packed: Option<Packed>,
    /// Directories of named local contexts.
    pub(crate) dirs: BTreeMap<String, PathBuf>,
}

/// A file from elsewhere.
#[derive(Debug)]
pub(crate) struct Packed {
    /// Where it lies: in a directory of the store.
    pub(crate) path: PathBuf,
    /// When it last changed, in seconds since 1970, where its server says so.
    pub(crate) modified: Option<i64>,
}

/// The main context.
#[derive(Debug)]
pub(crate) enum Context {
    /// A directory.
    Dir(PathBuf),
    /// A tar from elsewhere, unpacked into this directory of the store, and where it came from.
    Unpacked(PathBuf, String),
    /// Only a Dockerfile came: this directory of the store is empty.
    Nothing(PathBuf),
    /// A git repository.
    Repository(Repository),
}

impl Context {
    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        match self {
            Self::Dir(dir) | Self::Unpacked(dir, _) | Self::Nothing(dir) => dir,
            Self::Repository(found) => &found.dir,
        }
    }

    /// Where it is for the person, who never sees the store's own directories.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Dir(dir) => dir.display().to_string(),
            Self::Unpacked(..) | Self::Nothing(_) => String::new(),
            Self::Repository(found) => found.place.clone(),
        }
    }

    /// When the context was made, as far as it knows: in seconds since 1970.
    pub(crate) fn time(&self) -> Option<i64> {
        match self {
            Self::Repository(found) => Some(found.time),
            Self::Dir(_) | Self::Unpacked(..) | Self::Nothing(_) => None,
        }
    }

    /// What fetches its files, where they are not in the directory.
    pub(crate) fn source(&self) -> Option<Op> {
        match self {
            Self::Repository(found) => found.source.clone(),
            Self::Dir(_) | Self::Unpacked(..) | Self::Nothing(_) => None,
        }
    }
}

/// Reads everything, fetches what is elsewhere.
pub(crate) fn read(args: &SourceArgs, elsewhere: &Elsewhere<'_>) -> Result<Source, Failure> {
    let cancel = elsewhere.repositories.cancel;
    let from_stdin = args.file.as_deref() == Some("-");
    if from_stdin && args.context == "-" {
        return Err(Failure::user("both the Dockerfile and the context are to come from standard input")
            .hint("give one of them as a path"));
    }
    if let Some(found) = repositories::reference(&args.context)? {
        return repository(args, &found, elsewhere);
    }
    let packed = packed(&args.context, elsewhere)?;
    let (context, alone) = match &packed {
        Some((packed, place)) => packed_context(&packed.path, elsewhere, place)?,
        None => (directory(&args.context)?, None),
    };
    let (name, text) = match (from_stdin, alone) {
        (true, _) => ("Dockerfile".to_owned(), stdin(cancel)?),
        (false, Some(text)) => ("Dockerfile".to_owned(), text),
        (false, None) => dockerfile(args.file.as_deref(), &context, cancel)?,
    };
    let ignore = match &context {
        Context::Dir(_) if args.ignorefile.is_some() => {
            args.ignorefile.as_deref().map(asked_ignore_file).transpose()?
        }
        Context::Dir(_) => ignore_file(&context, (!from_stdin).then_some(Path::new(&name)))?,
        // What somebody packed holds what it is meant to hold: BuildKit, too, ignores files of directories alone.
        Context::Unpacked(..) | Context::Nothing(_) | Context::Repository(_) => None,
    };
    let (named, dirs) = named_contexts(&args.build_context)?;
    let packed = packed.map(|(packed, _)| packed);
    Ok(Source { name, text, context, packed, ignore, named, dirs })
}

/// A context that is a git repository: the Dockerfile is a file of it, but for standard input and absolute paths.
fn repository(args: &SourceArgs, found: &GitRef, elsewhere: &Elsewhere<'_>) -> Result<Source, Failure> {
    let cancel = elsewhere.repositories.cancel;
    let flag = args.file.as_deref();
    let names = match flag {
        None => NAMES.to_vec(),
        Some(flag) if flag == "-" || flag.starts_with('/') => Vec::new(),
        Some(flag) => vec![flag],
    };
    let (repository, file) = elsewhere.main(found, &names)?;
    let unreadable = |flag: &str| Failure::user(format!("cannot read Dockerfile `{flag}`"));
    let (name, text) = match (flag, file) {
        (Some("-"), _) => ("Dockerfile".to_owned(), stdin(cancel)?),
        (Some(flag), _) if flag.starts_with('/') => {
            let text = Patient::open(Path::new(flag), cancel).and_then(Patient::all);
            (flag.to_owned(), text.map_err(|error| unreadable(flag).cause(error))?)
        }
        (_, Some(file)) => file,
        (Some(flag), None) => {
            return Err(unreadable(flag).cause(format!("there is no such file in `{}`", repository.place)));
        }
        (None, None) => {
            let failure = Failure::user(format!("there is no Dockerfile in `{}`", repository.place));
            return Err(failure.hint("name it with -f FILE"));
        }
    };
    let (named, dirs) = named_contexts(&args.build_context)?;
    Ok(Source {
        name,
        text,
        context: Context::Repository(repository),
        packed: None,
        ignore: None,
        named,
        dirs,
    })
}

fn stdin(cancel: &Cancel) -> Result<Vec<u8>, Failure> {
    Patient::stdin(cancel)
        .and_then(Patient::all)
        .map_err(|error| Failure::environment("cannot read standard input").cause(error))
}

/// The file that the context comes as, and where from, for messages; nothing where it is a directory.
fn packed(text: &str, elsewhere: &Elsewhere<'_>) -> Result<Option<(Packed, String)>, Failure> {
    if text == "-" {
        let path = elsewhere.scratch.join("packed");
        let failed = |error: io::Error| {
            Failure::environment("cannot read the context from standard input").cause(error)
        };
        let mut file = fs::File::create_new(&path).map_err(failed)?;
        let mut input = Patient::stdin(elsewhere.repositories.cancel).map_err(failed)?;
        io::copy(&mut input, &mut file).map_err(failed)?;
        return Ok(Some((Packed { path, modified: None }, "on standard input".to_owned())));
    }
    if let Some(path) = text.strip_prefix("tar://") {
        if !Path::new(path).is_file() {
            return Err(Failure::user(format!("cannot use context `{text}`: there is no such file")));
        }
        return Ok(Some((Packed { path: PathBuf::from(path), modified: None }, format!("`{path}`"))));
    }
    if !is_url(text) {
        return Ok(None);
    }
    let source = HttpSource { url: text.to_owned(), name: String::new(), checksum: None };
    let packed = fetch_file(&source, "packed", elsewhere)?;
    Ok(Some((packed, format!("at `{}`", shown(text)))))
}

/// Fetches a file into the build's directory, under this name.
pub(crate) fn fetch_file(
    source: &HttpSource,
    name: &str,
    elsewhere: &Elsewhere<'_>,
) -> Result<Packed, Failure> {
    let path = elsewhere.scratch.join(name);
    let what = match name {
        "packed" => "fetching the context".to_owned(),
        _ => format!("fetching {}", shown(&source.url)),
    };
    let tell = |done, total| {
        elsewhere.sink.emit(Event::Progress { node: None, what: what.clone(), done, total });
    };
    let secrets = elsewhere.repositories.secrets;
    let fetcher = Fetcher { http: elsewhere.http, secrets, tell: &tell };
    let fetched = fetcher.file(source, None, &path);
    let fetched = fetched.map_err(|error| Failure::of(error.blame(), &error).hinted(error.hint()))?;
    let modified = fetched.and_then(|file| file.validators.modified());
    Ok(Packed { path, modified: modified.and_then(|secs| i64::try_from(secs).ok()) })
}

fn directory(text: &str) -> Result<Context, Failure> {
    let dir = PathBuf::from(text);
    let metadata = fs::metadata(&dir)
        .map_err(|error| Failure::user(format!("cannot use context `{text}`")).cause(error))?;
    if !metadata.is_dir() {
        let failure = Failure::user(format!("context `{text}` is a file, not a directory"));
        return Err(failure.hint("give the directory that holds the files; `-f FILE` names the Dockerfile, `- < FILE.tar` a packed context"));
    }
    let dir = dir
        .canonicalize()
        .map_err(|error| Failure::user(format!("cannot use context `{text}`")).cause(error))?;
    Ok(Context::Dir(dir))
}

/// A URL that is no git repository's.
fn is_url(text: &str) -> bool {
    let path = text.split(['#', '?']).next().unwrap_or_default();
    (text.starts_with("http://") || text.starts_with("https://")) && !path.ends_with(".git")
}

/// What came from elsewhere is a tar, plain or compressed, or else the text of a Dockerfile.
fn packed_context(
    path: &Path,
    elsewhere: &Elsewhere<'_>,
    place: &str,
) -> Result<(Context, Option<Vec<u8>>), Failure> {
    let failed =
        |error: io::Error| Failure::environment(format!("cannot read the context {place}")).cause(error);
    let mut file = fs::File::open(path).map_err(failed)?;
    let workplace = Workplace { scratch: elsewhere.scratch, cancel: elsewhere.repositories.cancel };
    let dir = elsewhere.scratch.join("context");
    fs::create_dir(&dir).map_err(failed)?;
    let is_archive = ireko_exec::unpack_context(&file, workplace, &dir).map_err(|error| {
        let mut failure = Failure::of(error.blame(), &error);
        failure.causes.insert(0, failure.message);
        failure.message = format!("the context {place} cannot be unpacked");
        failure
    })?;
    if is_archive {
        return Ok((Context::Unpacked(dir, place.to_owned()), None));
    }
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    file.read_to_end(&mut text).map_err(failed)?;
    Ok((Context::Nothing(dir), Some(text)))
}

fn dockerfile(flag: Option<&str>, context: &Context, cancel: &Cancel) -> Result<(String, Vec<u8>), Failure> {
    let dir = context.dir();
    let path = match flag {
        // A path is relative to where the command runs, as Docker's is; inside an unpacked context, to its root.
        Some(flag) if matches!(context, Context::Unpacked(..)) => dir.join(flag.trim_start_matches('/')),
        Some(flag) => PathBuf::from(flag),
        None => match NAMES.iter().map(|name| dir.join(name)).find(|path| path.symlink_metadata().is_ok()) {
            Some(path) => path,
            None => {
                // A directory that may not be read holds nothing that can be seen.
                if let Err(error) = fs::read_dir(dir) {
                    return Err(
                        Failure::user(format!("cannot read context `{}`", dir.display())).cause(error)
                    );
                }
                let place = match context {
                    Context::Dir(dir) => format!("`{}`", dir.display()),
                    Context::Unpacked(_, place) => format!("the context {place}"),
                    Context::Nothing(_) | Context::Repository(_) => "the context".to_owned(),
                };
                let failure = Failure::user(format!("there is no Dockerfile in {place}"));
                return Err(failure.hint("name it with -f FILE"));
            }
        },
    };
    let name = match context {
        Context::Dir(_) => path.display().to_string(),
        _ => path.strip_prefix(dir).unwrap_or(&path).display().to_string(),
    };
    // A file named on the command line may be a pipe; one that the context brings along may not.
    let text = match (flag, context) {
        (Some(_), Context::Dir(_) | Context::Nothing(_)) => {
            Patient::open(&path, cancel).and_then(Patient::all)
        }
        _ => read_own(context, &path),
    };
    let text = text.map_err(|error| {
        let near = (error.kind() == io::ErrorKind::NotFound).then(|| near(&path)).flatten();
        let failure = Failure::user(format!("cannot read Dockerfile `{name}`")).cause(error);
        match near {
            Some(near) => failure.hint(format!("did you mean `{}`?", near.display())),
            None => failure,
        }
    })?;
    Ok((name, text))
}

/// The file beside one that does not exist which may have been meant.
fn near(path: &Path) -> Option<PathBuf> {
    let (dir, name) = (path.parent()?, path.file_name()?.to_str()?);
    let place = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let names = fs::read_dir(place).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: Vec<String> = names.collect();
    let near = ireko_report::nearest_names(name, names.iter().map(String::as_str));
    near.first().map(|near| path.with_file_name(near))
}

/// Reads a file that the context brings along. Links of an unpacked context are followed inside it: what somebody packed
/// must not show a file of this machine.
fn read_own(context: &Context, path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match context {
        Context::Unpacked(dir, _) => {
            let root = fs::File::open(dir)?;
            open_in_root(&root, path.strip_prefix(dir).unwrap_or(path), flags, Mode::empty())?
        }
        Context::Dir(_) | Context::Nothing(_) | Context::Repository(_) => {
            rustix::fs::open(path, flags, Mode::empty())?
        }
    };
    let mut file = fs::File::from(fd);
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

/// `<Dockerfile>.dockerignore` beside the Dockerfile, else `.dockerignore` of the context, as BuildKit; `.containerignore`
/// counts where there is neither.
fn ignore_file(context: &Context, dockerfile: Option<&Path>) -> Result<Option<(String, Vec<u8>)>, Failure> {
    let dir = context.dir();
    let own = dockerfile.map(|path| {
        let mut path = path.as_os_str().to_owned();
        path.push(".dockerignore");
        PathBuf::from(path)
    });
    let candidates = own.into_iter().chain([dir.join(".dockerignore"), dir.join(".containerignore")]);
    for path in candidates {
        match read_own(context, &path) {
            Ok(text) => {
                let name = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
                return Ok(Some((name, text)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(
                    Failure::user(format!("cannot read ignore file `{}`", path.display())).cause(error)
                );
            }
        }
    }
    Ok(None)
}

/// An ignore file that was named.
fn asked_ignore_file(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let name = path.display().to_string();
    let text = fs::read(path)
        .map_err(|error| Failure::user(format!("cannot read ignore file `{name}`")).cause(error))?;
    Ok((name, text))
}

type Named = (BTreeMap<String, ContextSpec>, BTreeMap<String, PathBuf>);

fn named_contexts(flags: &[String]) -> Result<Named, Failure> {
    let (mut named, mut dirs) = (BTreeMap::new(), BTreeMap::new());
    for flag in flags {
        let wrong = || {
            let flag = shown(flag);
            Failure::user(format!("`--build-context {flag}` is not of the form name=source"))
        };
        let (name, source) = flag.split_once('=').ok_or_else(wrong)?;
        if name.is_empty() || source.is_empty() {
            return Err(wrong());
        }
        // Docker normalises a context's name as an image's: `app` and `app:latest` override the same FROM.
        let base = debian_context::parse(source).map_err(|mut failure| {
            failure.message = format!("`--build-context {}`: {}", shown(flag), failure.message);
            failure
        })?;
        let spec = match source.split_once("://") {
            _ if base.is_some() => ContextSpec::Made(source.to_owned()),
            _ if let Some(found) = repositories::reference(source)? => {
                ContextSpec::Fetched(repositories::named(&found))
            }
            Some(("docker-image", image)) => {
                let image: Reference = image.parse().map_err(|error: ireko_oci::OciError| {
                    Failure::user(format!("`{image}` in `--build-context {flag}` is no image")).cause(error)
                })?;
                ContextSpec::Image(image)
            }
            Some(("oci-layout", layout)) => layout_spec(layout)?,
            Some(("http" | "https", _)) if is_url(source) => {
                // BuildKit's name for it, by which the Dockerfile can copy it.
                let file = HttpSource { url: source.to_owned(), name: "context".to_owned(), checksum: None };
                ContextSpec::Fetched(Op::Http(file))
            }
            Some((scheme, _)) => return Err(Failure::not_yet(format!("a build context from `{scheme}://`"))),
            None => {
                let dir = fs::canonicalize(source).map_err(|error| {
                    Failure::user(format!("cannot use build context `{flag}`")).cause(error)
                })?;
                if !dir.is_dir() {
                    return Err(Failure::user(format!("build context `{flag}` is a file, not a directory")));
                }
                dirs.insert(name.to_owned(), dir);
                ContextSpec::Dir
            }
        };
        named.insert(name.to_owned(), spec);
    }
    Ok((named, dirs))
}

/// `dir`, `dir:tag` or `dir@sha256:…`.
fn layout_spec(text: &str) -> Result<ContextSpec, Failure> {
    let (dir, image) = match text.split_once('@') {
        Some((dir, digest)) => (dir, Some(format!("@{digest}"))),
        None => match text.rsplit_once(':') {
            Some((dir, tag)) if !tag.contains('/') => (dir, Some(tag.to_owned())),
            _ => (text, None),
        },
    };
    let found = fs::canonicalize(dir)
        .map_err(|error| Failure::user(format!("cannot use OCI layout `{dir}`")).cause(error))?;
    Ok(ContextSpec::Layout { dir: found.display().to_string(), image })
}
