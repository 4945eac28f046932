//! Collects the built web client for `gate::web`: in optimised builds what is in `web/dist`, else nothing.
//!
//! A development build serves it from a folder instead (`gate.web_folder`), so that building the client and building the
//! server do not wait for each other.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let mut files = Vec::new();
    if env::var("PROFILE")? == "release" {
        let dist = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../web/dist");
        // The folder is in the repository, empty.
        println!("cargo:rerun-if-changed={}", dist.display());
        collect(&dist, "", &mut files)?;
    }
    files.sort();
    let mut table = String::from("[\n");
    for (name, path) in files {
        writeln!(table, "    ({name:?}, include_bytes!({path:?})),")?;
    }
    table += "]\n";
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("web.rs"), table)?;
    Ok(())
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), Box<dyn Error>> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| "a file of web/dist has a name that is not UTF-8")?;
        if name.starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{prefix}{name}/"), files)?;
        } else {
            files.push((format!("{prefix}{name}"), fs::canonicalize(entry.path())?));
        }
    }
    Ok(())
}
