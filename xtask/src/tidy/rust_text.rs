//! Rust source with comments and literals blanked out, so that rules judge code and not prose about code.

/// `text` with every character of a comment, string or character literal replaced by a space. Newlines stay, so line
/// numbers do, too.
pub fn code_only(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = match blank_end(&characters, at) {
            Some(end) => end,
            None => {
                code.push(characters[at]);
                at += 1;
                continue;
            }
        };
        code.extend(characters[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

/// Where the comment or literal that begins at `at` ends; none if code begins there.
fn blank_end(characters: &[char], at: usize) -> Option<usize> {
    let next = characters.get(at + 1).copied();
    match characters[at] {
        '/' if next == Some('/') => Some(line_end(characters, at)),
        '/' if next == Some('*') => Some(block_comment_end(characters, at)),
        '"' => Some(string_end(characters, at + 1)),
        '\'' => character_end(characters, at),
        'r' if !continues_a_word(characters, at) => raw_string_end(characters, at),
        _ => None,
    }
}

/// Whether the letter at `at` is the inside of an identifier. A `b` or `c` alone before it is a literal's prefix.
fn continues_a_word(characters: &[char], at: usize) -> bool {
    let is_word = |index: usize| characters[index].is_alphanumeric() || characters[index] == '_';
    match at {
        0 => false,
        1 => is_word(0) && !matches!(characters[0], 'b' | 'c'),
        _ => is_word(at - 1) && (!matches!(characters[at - 1], 'b' | 'c') || is_word(at - 2)),
    }
}

fn line_end(characters: &[char], from: usize) -> usize {
    let length = characters[from..].iter().position(|&c| c == '\n');
    length.map_or(characters.len(), |length| from + length)
}

/// Block comments nest in Rust.
fn block_comment_end(characters: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at + 1 < characters.len() {
        match (characters[at], characters[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    characters.len()
}

/// The end of a string whose first character after the quote is at `from`.
fn string_end(characters: &[char], from: usize) -> usize {
    let mut at = from;
    while at < characters.len() {
        match characters[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    characters.len()
}

/// A quote opens a character literal or a lifetime; only the first ends with a quote right after one character.
fn character_end(characters: &[char], at: usize) -> Option<usize> {
    if characters.get(at + 1) == Some(&'\\') {
        let closing = characters.get(at + 3..)?.iter().position(|&c| c == '\'')?;
        return Some(at + 3 + closing + 1);
    }
    (characters.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

/// `r"…"`, `r#"…"#` and so on; none for a raw identifier.
fn raw_string_end(characters: &[char], at: usize) -> Option<usize> {
    let hashes = characters[at + 1..].iter().take_while(|&&c| c == '#').count();
    let quote = at + 1 + hashes;
    if characters.get(quote) != Some(&'"') {
        return None;
    }
    let mut end = quote + 1;
    while end < characters.len() {
        let closing_hashes = characters[end + 1..].iter().take(hashes).filter(|&&c| c == '#').count();
        if characters[end] == '"' && closing_hashes == hashes {
            return Some(end + 1 + hashes);
        }
        end += 1;
    }
    Some(characters.len())
}

#[cfg(test)]
mod tests {
    use super::code_only;

    /// The words left when blanks are squeezed.
    fn words(text: &str) -> String {
        code_only(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_go_and_lines_stay() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(code_only("a /* b\n */\nc").lines().count(), 3);
    }

    #[test]
    fn strings_go_with_their_escapes() {
        assert_eq!(words(r#"a("b \" // c") + d"#), "a( ) + d");
        assert_eq!(words("f(r##\"x \"# y\"##, br\"z\", r#type)"), "f( , b , r#type)");
        assert_eq!(words("for \"x\""), "for");
    }

    #[test]
    fn a_lifetime_is_not_a_character() {
        assert_eq!(words("fn f<'a>(x: &'a str, y: char) { y == 'q' || y == '\\'' }"), "fn f<'a>(x: &'a str, y: char) { y == || y == }");
    }

    #[test]
    fn text_that_ends_early_is_blanked_to_its_end() {
        for text in ["\"abc", "/* abc", "r#\"abc", "// abc", "\"abc\\"] {
            assert_eq!(words(text), "", "{text}");
        }
        assert_eq!(words("'"), "'");
        assert_eq!(words("r"), "r");
    }
}
