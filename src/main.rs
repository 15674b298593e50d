//! The `quorate` program: reads its arguments and hands them to [`cli`], which does everything else.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
