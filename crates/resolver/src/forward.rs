//! Names that are neither AWS's nor a VPC's: which questions go on to the machine's own name servers, and which of their
//! answers are taken. Bytes in and bytes out; [`Upstream`] is what carries them.
//!
//! A question goes on as it came, but for its number, so that all that the asker understands reaches it. Names of AWS's
//! never go on: what is not here would be asked for there, with the credentials of here.

use crate::message::Transport;
use async_trait::async_trait;
use domain::base::Message;
use vpc::names::AMAZON;

/// Whoever asks the machine's own name servers.
#[async_trait]
pub trait Upstream: Send + Sync {
    /// What one of them answers to `question`, whose number nobody can guess; none if none does in time. Whatever is not
    /// an answer to it must have been passed over: see [`answers`].
    async fn ask(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>>;
}

/// AWS's other domains. Source: AWS General Reference, "AWS service endpoints".
const OTHERS: [&str; 4] = ["api.aws", "on.aws", "amazonaws.com.cn", "amazonaws.eu"];

/// Whether the name, which means nothing here, may mean something in the real internet.
pub(crate) fn goes_on(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let below = |domain: &str| name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let kept = [AMAZON, "internal", "local", "localhost", "arpa"].into_iter().chain(OTHERS);
    // A name of one part is a host's nearby.
    name.contains('.') && !kept.into_iter().any(below)
}

/// The question under a number that nobody can guess.
pub(crate) fn numbered(question: &[u8]) -> Option<Vec<u8>> {
    let id = u16::from_str_radix(&types::id::random_hex(4), 16).ok()?;
    renumbered(question.to_vec(), &id.to_be_bytes())
}

/// A message with the number of another.
pub(crate) fn renumbered(mut message: Vec<u8>, other: &[u8]) -> Option<Vec<u8>> {
    message.get_mut(..2)?.copy_from_slice(other.get(..2)?);
    Some(message)
}

/// Whether `bytes` answer `question`: the same number, the same name and kind.
pub fn answers(question: &[u8], bytes: &[u8]) -> bool {
    let parse = |bytes| Message::from_slice(bytes).ok();
    let (Some(question), Some(answer)) = (parse(question), parse(bytes)) else { return false };
    let (asked, answered) = (question.sole_question(), answer.sole_question());
    answer.header().qr()
        && answer.header().id() == question.header().id()
        && asked.is_ok_and(|asked| answered.is_ok_and(|answered| asked == answered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::respond;
    use crate::question::ask;
    use crate::zone::Answer;
    use proptest::prelude::*;

    #[test]
    fn only_names_that_are_not_awss_go_on() {
        for name in ["example.com", "www.example.com.", "amazonaws.com.example.org", "xamazonaws.com"] {
            assert!(goes_on(name), "{name}");
        }
        for name in [
            "sqs.us-east-1.amazonaws.com",
            "SQS.us-east-1.AmazonAWS.com.",
            "amazonaws.com",
            "ip-10-0-0-9.ec2.internal",
            "lambda.us-east-1.api.aws",
            "9.0.0.10.in-addr.arpa",
            "printer.local",
            "printer",
            "",
        ] {
            assert!(!goes_on(name), "{name}");
        }
    }

    #[test]
    fn an_answer_is_to_the_question_that_was_asked() {
        let question = ask(7, "a.example.com").unwrap();
        let answer = respond(&question, Transport::Udp, |_, _| Answer::NoData).unwrap();
        assert!(answers(&question, &answer));
        assert!(!answers(&question, &question), "no answer at all");
        assert!(!answers(&renumbered(question, &[0, 8]).unwrap(), &answer), "another number");
        assert!(!answers(&ask(7, "b.example.com").unwrap(), &answer), "another name");
        assert_eq!(numbered(&[1]), None, "no question");
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let question = ask(7, "a.example.com").unwrap();
            answers(&question, &bytes);
            answers(&bytes, &question);
        }
    }
}
