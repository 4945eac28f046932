//! How a shell here runs this very program: it need not be on the `PATH`.

use std::path::Path;

pub fn program() -> String {
    let here = std::env::current_dir().unwrap_or_default();
    std::env::current_exe().map_or_else(|_| "skein".to_owned(), |program| shell_word(&program, &here))
}

fn shell_word(program: &Path, here: &Path) -> String {
    let path = match program.strip_prefix(here) {
        Ok(below) if here.parent().is_some() => Path::new(".").join(below),
        _ => program.to_owned(),
    };
    quoted(&path.display().to_string())
}

/// One word of a shell.
pub fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "/._-+".contains(c));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_program_can_be_run_where_it_was_printed() {
        let word = |program: &str, here: &str| shell_word(Path::new(program), Path::new(here));
        assert_eq!(word("/srv/skein/target/release/skein", "/srv/skein"), "./target/release/skein");
        assert_eq!(word("/usr/bin/skein", "/srv/skein"), "/usr/bin/skein");
        assert_eq!(word("/usr/bin/skein", "/"), "/usr/bin/skein");
        assert_eq!(word("/my files/it's", "/srv"), "'/my files/it'\\''s'");
    }
}
