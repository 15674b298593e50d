//! Turns the environment variable `QUORATE_MUTANT` into `cfg(mutant = "…")`: one planted bug, or `all`, of which one is
//! chosen when the program runs (src/planted.rs). Without the variable nothing is planted.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=QUORATE_MUTANT");
    if let Ok(name) = std::env::var("QUORATE_MUTANT")
        && !name.is_empty()
    {
        println!("cargo:rustc-cfg=mutant=\"{name}\"");
    }
}
