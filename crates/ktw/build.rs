//! Compiles the descriptors of the API: they name the fields and the values of enums of what is printed.

use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // The parts of googleapis that the protos import.
    let folders = [root.join("proto"), root.join("crates/contracts/imports")];
    for folder in &folders {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    let api = folders[0].join("keeptrusts/webhooks/v1");
    let mut files: Vec<_> = std::fs::read_dir(api)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut compiler = protox::Compiler::new(&folders)?;
    compiler.include_imports(true).open_files(files)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    Ok(std::fs::write(out, compiler.encode_file_descriptor_set())?)
}
