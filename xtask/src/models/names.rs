//! AWS's names in Rust's spelling.

/// What Rust keeps for itself.
const KEYWORDS: &[&str] = &[
    "as", "async", "await", "box", "break", "const", "continue", "crate", "do", "dyn", "else", "enum", "extern",
    "final", "fn", "for", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override",
    "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "try", "type", "typeof", "unsafe",
    "use", "virtual", "where", "while", "yield",
];

/// `VpcId` and `vpcID` to `vpc_id`, as the SDK for Rust spells members; keywords get an underscore at the end.
pub(super) fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        if matches!(letter, '-' | '.' | ':' | '_' | ' ') {
            if !out.ends_with('_') {
                out.push('_');
            }
            continue;
        }
        let after = at.checked_sub(1).map(|before| letters[before]);
        let before_lower = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        let starts = letter.is_ascii_uppercase()
            && after.is_some_and(|last| {
                last.is_ascii_lowercase() || last.is_ascii_digit() || (last.is_ascii_uppercase() && before_lower)
            });
        if starts && !out.ends_with('_') {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    if KEYWORDS.contains(&out.as_str()) {
        out.push('_');
    }
    out
}

/// `ip-address` to `IP_ADDRESS`; what begins with a digit gets an underscore before it.
pub(super) fn screaming(name: &str) -> String {
    let plain: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let upper = if plain.chars().all(|letter| !letter.is_ascii_lowercase()) {
        plain
    } else {
        snake(&plain).trim_end_matches('_').to_ascii_uppercase()
    };
    if upper.starts_with(|first: char| first.is_ascii_digit()) || upper.is_empty() {
        format!("_{upper}")
    } else {
        upper
    }
}

/// A type's name: the shape's, beginning with a capital.
pub(super) fn pascal(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_sdk_for_rust() {
        for (name, wanted) in [
            ("VpcId", "vpc_id"),
            ("CidrIpv6", "cidr_ipv6"),
            ("taskDefinitionArn", "task_definition_arn"),
            ("IPProtocol", "ip_protocol"),
            ("type", "type_"),
            ("S3Bucket", "s3_bucket"),
            ("kmsKeyId", "kms_key_id"),
        ] {
            assert_eq!(snake(name), wanted);
        }
        assert_eq!(screaming("HTTP_HTTPS"), "HTTP_HTTPS");
        assert_eq!(screaming("path-pattern"), "PATH_PATTERN");
        assert_eq!(screaming("internet-facing"), "INTERNET_FACING");
        assert_eq!(screaming("2"), "_2");
    }
}
