//! What an instance's user data says to the ECS agent: the lines that it writes to `/etc/ecs/ecs.config`.
//!
//! Nothing of user data is executed, for no machine boots here. The forms in which ECS's own guides write the agent's
//! configuration are read: `echo … > file`, `printf … > file`, `cat <<EOF > file`, and the same through `tee`, with the
//! script's own plain variables. Source: ECS developer guide, "Bootstrapping Amazon ECS Linux container instances to pass
//! data".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

/// The agent's configuration file.
const FILE: &str = "/etc/ecs/ecs.config";

/// Names and values.
type Settings = BTreeMap<String, String>;

/// The agent's configuration in user data that is given in base64. Of what is written twice, the last holds.
pub fn ecs_config(encoded: &str) -> Settings {
    let bytes = STANDARD.decode(encoded.trim()).unwrap_or_default();
    config_of(&String::from_utf8_lossy(&bytes))
}

fn config_of(script: &str) -> Settings {
    let (mut variables, mut config) = (Settings::new(), Settings::new());
    let script = script.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let tokens = tokens(line, &variables);
        for command in tokens.split(|token| matches!(token, Token::Operator(";" | "&&" | "||"))) {
            assign(command, &mut variables);
            // The body of a document goes by even where it is written to another file: it is no part of this script.
            let document = document_of(command).map(|document| document.read(&mut lines, &variables));
            let Some(appends) = writes(command) else { continue };
            let Some(text) = document.or_else(|| printed(command)) else { continue };
            if !appends {
                config.clear();
            }
            config.extend(text.lines().filter_map(setting));
        }
    }
    config
}

/// A piece of a command.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A word with its quotes and variables resolved, and whether some of it was quoted.
    Word(String, bool),
    /// A redirection, or what separates commands.
    Operator(&'static str),
}

impl Token {
    fn word(&self) -> Option<&str> {
        if let Self::Word(text, _) = self { Some(text) } else { None }
    }
}

const OPERATORS: [&str; 9] = ["<<-", "<<", "<", ">>", ">", "&&", "||", "|", ";"];

/// A line's tokens; what follows a `#` at a word's beginning is a comment.
fn tokens(line: &str, variables: &Settings) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        if let Some(operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
            found.push(Token::Operator(operator));
            rest = rest[operator.len()..].trim_start();
            continue;
        }
        let (word, quoted, after) = word(rest, variables);
        found.push(Token::Word(word, quoted));
        // A character that begins no word would be met for ever.
        rest = if after.len() == rest.len() { "" } else { after.trim_start() };
    }
    found
}

/// The word at the beginning of `text`, whether some of it was quoted, and what follows.
fn word<'t>(text: &'t str, variables: &Settings) -> (String, bool, &'t str) {
    let (mut word, mut was_quoted, mut rest) = (String::new(), false, text);
    let mut quote = None;
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        match (quote, next) {
            (None, '\'' | '"') => (quote, was_quoted) = (Some(next), true),
            (Some(open), _) if open == next => quote = None,
            (None, _) if next.is_whitespace() || OPERATORS.iter().any(|operator| rest.starts_with(operator)) => break,
            (None | Some('"'), '\\') => {
                let escaped = after.chars().next();
                // Within quotes only these lose their backslash.
                if quote.is_some() && !matches!(escaped, Some('"' | '\\' | '$' | '`')) {
                    word.push('\\');
                } else if let Some(escaped) = escaped {
                    word.push(escaped);
                    rest = &after[escaped.len_utf8()..];
                    continue;
                }
            }
            (None | Some('"'), '$') => {
                let (value, after) = variable(after, variables);
                word.push_str(&value);
                rest = after;
                continue;
            }
            _ => word.push(next),
        }
        rest = after;
    }
    (word, was_quoted, rest)
}

/// The value of the variable whose name follows a `$`, and what follows that. One that the script has not set is empty, as
/// in the shell; what is no name stays as it is.
fn variable<'t>(text: &'t str, variables: &Settings) -> (String, &'t str) {
    let (inner, braced) = match text.strip_prefix('{') {
        Some(inner) => (inner, true),
        None => (text, false),
    };
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (name, after) = inner.split_at(end);
    let after = if braced { after.strip_prefix('}') } else { Some(after) };
    match after {
        Some(after) if !name.is_empty() => (variables.get(name).cloned().unwrap_or_default(), after),
        _ => ("$".to_owned(), text),
    }
}

/// Takes note of `NAME=value` and `export NAME=value`.
fn assign(command: &[Token], variables: &mut Settings) {
    let words: Vec<&str> = command.iter().filter_map(Token::word).collect();
    let assigned = match words[..] {
        ["export", one] | [one] => one.split_once('='),
        _ => None,
    };
    if let Some((name, value)) = assigned.filter(|(name, _)| is_name(name)) {
        variables.insert(name.to_owned(), value.to_owned());
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a command writes to the configuration file, and if so whether it appends.
fn writes(command: &[Token]) -> Option<bool> {
    let redirected = command.windows(2).find_map(|pair| match pair {
        [Token::Operator(">>"), Token::Word(file, _)] if file == FILE => Some(true),
        [Token::Operator(">"), Token::Word(file, _)] if file == FILE => Some(false),
        _ => None,
    });
    let words: Vec<&str> = command.iter().filter_map(Token::word).collect();
    let tee = || {
        let at = words.iter().position(|word| *word == "tee")?;
        words[at..].contains(&FILE).then(|| words[at..].iter().any(|word| matches!(*word, "-a" | "--append")))
    };
    redirected.or_else(tee)
}

/// What `echo` or `printf` prints.
fn printed(command: &[Token]) -> Option<String> {
    let at = command.iter().position(|token| matches!(token.word(), Some("echo" | "printf")))?;
    let words: Vec<&str> = command[at + 1..].iter().map_while(Token::word).collect();
    let options = words.iter().take_while(|word| matches!(**word, "-e" | "-n" | "-ne" | "-en" | "--")).count();
    let text = words[options..].join(" ");
    let escapes = command[at].word() == Some("printf") || words[..options].iter().any(|option| option.contains('e'));
    Some(if escapes { text.replace("\\n", "\n").replace("\\t", "\t") } else { text })
}

/// A document that stands in the script: `<<EOF`.
struct Document {
    end: String,
    literal: bool,
    indented: bool,
}

fn document_of(command: &[Token]) -> Option<Document> {
    command.windows(2).find_map(|pair| match pair {
        [Token::Operator(operator @ ("<<" | "<<-")), Token::Word(end, literal)] => {
            Some(Document { end: end.clone(), literal: *literal, indented: *operator == "<<-" })
        }
        _ => None,
    })
}

impl Document {
    /// Its lines, taken from the script's; all that are left where nothing ends it.
    fn read<'s>(&self, lines: &mut impl Iterator<Item = &'s str>, variables: &Settings) -> String {
        let mut text = String::new();
        for line in lines {
            let line = if self.indented { line.trim_start_matches('\t') } else { line };
            if line.trim_end() == self.end {
                break;
            }
            let mut rest = line;
            while let Some((before, after)) = rest.split_once('$').filter(|_| !self.literal) {
                let (value, after) = variable(after, variables);
                text.push_str(before);
                text.push_str(&value);
                rest = after;
            }
            text.push_str(rest);
            text.push('\n');
        }
        text
    }
}

/// `NAME=value` in the configuration file.
fn setting(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim().split_once('=')?;
    is_name(name).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(script: &str) -> Vec<String> {
        config_of(script).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn the_forms_of_ecss_guides_are_read() {
        for (script, expected) in [
            ("#!/bin/bash\necho ECS_CLUSTER=prod >> /etc/ecs/ecs.config\n", &["ECS_CLUSTER=prod"][..]),
            ("echo \"ECS_CLUSTER=prod\" >/etc/ecs/ecs.config", &["ECS_CLUSTER=prod"]),
            ("echo 'ECS_CLUSTER=prod'>>/etc/ecs/ecs.config;", &["ECS_CLUSTER=prod"]),
            (
                "cat <<'EOF' >> /etc/ecs/ecs.config\nECS_CLUSTER=prod\nECS_INSTANCE_ATTRIBUTES={\"a\":\"$1\"}\nEOF\n",
                &["ECS_CLUSTER=prod", "ECS_INSTANCE_ATTRIBUTES={\"a\":\"$1\"}"],
            ),
            ("cat >> /etc/ecs/ecs.config <<- EOF\n\tECS_CLUSTER=prod\n\tEOF\necho no", &["ECS_CLUSTER=prod"]),
            ("echo -e \"ECS_CLUSTER=prod\\nECS_X=1\" >> /etc/ecs/ecs.config", &["ECS_CLUSTER=prod", "ECS_X=1"]),
            ("echo ECS_CLUSTER=prod | sudo tee -a /etc/ecs/ecs.config", &["ECS_CLUSTER=prod"]),
            ("NAME=prod\necho \"ECS_CLUSTER=${NAME}\" >> /etc/ecs/ecs.config", &["ECS_CLUSTER=prod"]),
            ("NAME=prod\ncat <<EOF > /etc/ecs/ecs.config\nECS_CLUSTER=$NAME\nEOF", &["ECS_CLUSTER=prod"]),
            (
                "echo ECS_CLUSTER=a > /etc/ecs/ecs.config && echo ECS_ENABLE_CONTAINER_METADATA=true >> \\\n/etc/ecs/ecs.config",
                &["ECS_CLUSTER=a", "ECS_ENABLE_CONTAINER_METADATA=true"],
            ),
            (
                "echo ECS_CLUSTER='x y' >> /etc/ecs/ecs.config # a comment\necho ECS_A=1 >> /etc/ecs/ecs.config",
                &["ECS_A=1", "ECS_CLUSTER=x y"],
            ),
        ] {
            assert_eq!(read(script), expected, "{script}");
        }
    }

    #[test]
    fn what_is_written_elsewhere_is_not_the_agents() {
        for script in [
            "echo ECS_CLUSTER=prod",
            "echo ECS_CLUSTER=prod > /tmp/ecs.config",
            "# echo ECS_CLUSTER=prod >> /etc/ecs/ecs.config",
            "cat <<EOF > /opt/later.sh\necho ECS_CLUSTER=prod >> /etc/ecs/ecs.config\nEOF",
            "cat /etc/ecs/ecs.config",
            "",
        ] {
            assert_eq!(read(script), Vec::<String>::new(), "{script}");
        }
        assert_eq!(read("echo ECS_A=1 >> /etc/ecs/ecs.config\necho ECS_B=2 > /etc/ecs/ecs.config"), ["ECS_B=2"]);
    }

    proptest! {
        #[test]
        fn any_script_is_read_to_its_end(script in "[ -~\\n\\t]{0,300}") {
            config_of(&script);
            config_of(&format!("echo {script} >> /etc/ecs/ecs.config"));
            config_of(&format!("cat <<EOF > /etc/ecs/ecs.config\n{script}"));
        }

        #[test]
        fn any_bytes_are_no_reason_to_stop(text in any::<String>()) {
            ecs_config(&text);
            config_of(&text);
        }
    }
}
