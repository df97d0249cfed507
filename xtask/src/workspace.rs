//! What the workspace holds: its packages with their dependencies, and its Rust files.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// One member of the workspace, as `cargo metadata` tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependency tables.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// Asks cargo for the members of the workspace at `root`.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot run `cargo metadata`")?;
    ensure!(output.status.success(), "`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cannot read what `cargo metadata` says")?;
    Ok(metadata.packages)
}

/// The outside crates named in the root manifest.
pub(crate) fn outside_dependencies(root: &Path) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Manifest {
        workspace: Workspace,
    }
    #[derive(Deserialize)]
    struct Workspace {
        dependencies: toml::Table,
    }
    let text = fs::read_to_string(root.join("Cargo.toml")).context("cannot read `Cargo.toml`")?;
    let manifest: Manifest = toml::from_str(&text).context("cannot read `Cargo.toml`")?;
    let inside = |value: &toml::Value| value.get("path").is_some();
    Ok(manifest
        .workspace
        .dependencies
        .into_iter()
        .filter(|(_, value)| !inside(value))
        .map(|(name, _)| name)
        .collect())
}

/// Every Rust file of the project, relative to `root`, sorted.
pub(crate) fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for top in ["crates", "xtask", "bench", "fuzz", "examples"] {
        walk(&root.join(top), &mut found)?;
    }
    for path in &mut found {
        *path = path.strip_prefix(root).expect("the walk started at the root").to_owned();
    }
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list `{}`", dir.display()))?;
        let path = entry.path();
        let kind = entry.file_type().with_context(|| format!("cannot look at `{}`", path.display()))?;
        if kind.is_dir() && entry.file_name() != "target" {
            walk(&path, found)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}
