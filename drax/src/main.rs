//! The setuid helper of grootfs. Everything is in [`drax::helper`].

fn main() -> std::process::ExitCode {
    drax::helper::run()
}
