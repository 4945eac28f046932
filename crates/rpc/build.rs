//! Turns the .proto files into Rust without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let doors = protox::compile(["door.proto"], ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(doors)?;
    // Called by others only.
    let served = ["goim/protocol.proto", "goim/comet.proto", "goim/logic.proto", "skein/push.proto"];
    let served = protox::compile(served, ["proto"])?;
    tonic_prost_build::configure().bytes(".").build_client(false).compile_fds(served)?;
    Ok(())
}
