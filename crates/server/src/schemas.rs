//! The schemas of a deployment: built in, and from the files of `schemas.directory`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use headcount_core::schema::Registry;
use headcount_core::schema::registry::{IndexMarks, SchemaFile};
use headcount_store_diesel::KindPlan;

use crate::config::Config;

/// Reads the deployment's own schemas in addition to the built-in ones.
pub(crate) fn registry(config: &Config) -> anyhow::Result<Registry> {
    match &config.schemas.directory {
        None => Ok(Registry::builtin()?),
        Some(directory) => registry_of(std::slice::from_ref(directory)),
    }
}

/// Reads schemas from files and from whole directories.
pub(crate) fn registry_of(paths: &[PathBuf]) -> anyhow::Result<Registry> {
    let (mut documents, mut all_marks) = (Vec::new(), IndexMarks::new());
    for path in paths {
        if path.is_dir() {
            for file in files(path)? {
                documents.push(document(&file)?);
            }
            all_marks.extend(marks(path)?);
        } else {
            documents.push(document(path)?);
        }
    }
    Ok(Registry::from_documents(&documents, &all_marks)?)
}

/// Lists the JSON files of a directory by name.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .with_context(|| format!("schemas.directory {} cannot be read", directory.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    names.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    names.sort();
    Ok(names)
}

fn document(path: &Path) -> anyhow::Result<SchemaFile> {
    let file = path.display().to_string();
    let text = std::fs::read(path)
        .with_context(|| format!("{file} cannot be read; check path and permissions"))?;
    let content = headcount_core::json::parse(&text).with_context(|| file.clone())?;
    Ok(SchemaFile { file, content })
}

/// Reads `indexes.toml`: under each kind, `indexed = ["path", …]`.
fn marks(directory: &Path) -> anyhow::Result<IndexMarks> {
    let path = directory.join("indexes.toml");
    if !path.exists() {
        return Ok(IndexMarks::new());
    }
    let file = config::File::from(path.as_path()).format(config::FileFormat::Toml);
    let layers = config::Config::builder()
        .add_source(file)
        .build()
        .with_context(|| path.display().to_string())?;
    let table: std::collections::BTreeMap<String, std::collections::BTreeMap<String, Vec<String>>> =
        layers.try_deserialize().with_context(|| {
            format!("{}: under each [Kind], indexed = [\"path\"]", path.display())
        })?;
    table
        .into_iter()
        .map(|(kind, mut keys)| match keys.remove("indexed") {
            Some(paths) if keys.is_empty() => Ok((kind, paths)),
            _ => anyhow::bail!("{}: [{kind}] has one key, indexed", path.display()),
        })
        .collect()
}

/// Lists what the store keeps rows for.
pub(crate) fn plan(registry: &Registry) -> Vec<KindPlan> {
    registry
        .kinds()
        .iter()
        .map(|kind| {
            let indexed = kind.indexed.iter().map(|indexed| indexed.path.to_string());
            let keys = kind.unique.iter().chain(&kind.name).map(ToString::to_string);
            KindPlan { kind: kind.kind.clone(), paths: indexed.chain(keys).collect() }
        })
        .collect()
}
