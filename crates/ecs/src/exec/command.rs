//! A command line in words, as the agent takes it apart: it is not a shell's. Source: google/shlex, which the agent uses.

/// The words of `line`: quotes and backslashes keep spaces, `#` at a word's beginning hides the rest of the line.
pub(super) fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => {
                let _ = chars.by_ref().find(|c| *c == '\n');
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(OPEN_QUOTE),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => word.push(chars.next().ok_or(LONE_ESCAPE)?),
                        Some(c) => word.push(c),
                        None => return Err(OPEN_QUOTE),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(LONE_ESCAPE)?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

const OPEN_QUOTE: &str = "EOF found when expecting closing quote";
const LONE_ESCAPE: &str = "EOF found after escape character";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_words_without_a_shell() {
        let of = |line| words(line).unwrap();
        assert_eq!(of(r#"/bin/sh -c "id && echo exec-done""#), ["/bin/sh", "-c", "id && echo exec-done"]);
        assert_eq!(of(r#"a 'b "c' d\ e "f\"g" """#), ["a", "b \"c", "d e", "f\"g", ""]);
        assert_eq!(of("  one\ttwo # three\nfour x#y "), ["one", "two", "four", "x#y"]);
        assert_eq!(of("$HOME *"), ["$HOME", "*"]);
        assert!(of(" ").is_empty());
        assert_eq!(words("sh -c 'x"), Err(OPEN_QUOTE));
        assert_eq!(words("sh -c \"x"), Err(OPEN_QUOTE));
        assert_eq!(words("x\\"), Err(LONE_ESCAPE));
    }
}
