//! Turns `proto/skein.proto` into Rust types with canonical JSON. Needs no `protoc`: protox compiles the schema.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/skein.proto");
    let descriptors = protox::compile(["skein.proto"], ["proto"])?;
    let encoded = descriptors.encode_to_vec();
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("skein.v1.bin"), &encoded)?;

    prost_build::Config::new()
        // It holds a secret: `schema` writes its Debug by hand.
        .skip_debug(["skein.v1.Auth"])
        .compile_fds(descriptors)?;
    // A newer peer may send fields and enum values that this build does not know.
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .ignore_unknown_fields()
        .ignore_unknown_enum_variants()
        .build(&[".skein.v1"])?;
    Ok(())
}
