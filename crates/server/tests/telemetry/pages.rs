//! The generated parts of the operator guide.

use std::path::Path;

/// `UPDATE=1` writes them.
#[test]
fn the_operator_guide_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operator-guide.md");
    let guide = std::fs::read_to_string(&path).unwrap();
    let pages = [("config", skein_server::config::reference::markdown()), ("metrics", skein_server::telemetry::metrics::markdown())];
    let fresh = pages.iter().fold(guide.clone(), |guide, (name, page)| replaced(&guide, name, page));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    } else {
        assert!(guide == fresh, "docs/operator-guide.md is old: UPDATE=1 cargo test -p skein-server --test telemetry operator_guide");
    }
}

fn replaced(guide: &str, name: &str, page: &str) -> String {
    const END: &str = "<!-- end generated -->";
    let begin = format!("<!-- generated: skein docs {name} -->\n");
    let (before, rest) = guide.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(END).expect("an end");
    format!("{before}{begin}\n{}\n\n{END}{after}", page.trim())
}
