//! Prompt templates: Jinja2, compiled when the configuration is loaded, rendered from the request's body and nothing else.
//!
//! A template sees one variable, `input`: the body as the client sent it. Work and output are bounded, undefined
//! variables are errors, and there is no way to files, environment or other templates.

mod input;

use std::{
    fmt,
    sync::Arc,
    thread::{self, ScopedJoinHandle},
};

use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value as Json};
use thiserror::Error;
use tollgate_domain::{Prompt, PromptMessage};

use input::{Input, messages_in};

/// Steps that a rendering may take; a loop over a few thousand messages takes some ten thousand.
const FUEL: u64 = 200_000;

/// Bytes that a rendering may give.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Missing paths that are tried one by one, to name only those that are needed; of more all are named.
const TRIALS_MAX: usize = 16;

/// Bytes that a template may have.
const TEMPLATE_BYTES_MAX: usize = 64_000;

/// The compiler goes as deep as operators follow each other. The longest template that is nothing else needs 32 MiB, and 128 MiB
/// where nothing is optimised (minijinja 3.1, measured 2026-11). What is not used of a stack costs nothing.
const COMPILER_STACK_BYTES: usize = 256 << 20;

/// A template that stands for the caller's own messages in a list of messages.
const NAME: &str = "prompt";

/// A compiled prompt.
#[derive(Debug)]
pub struct Template {
    parts: Parts,
    variables: Vec<String>,
}

#[derive(Debug)]
enum Parts {
    Text(Source),
    Messages(Vec<Part>),
}

#[derive(Debug)]
enum Part {
    Templated { role: Arc<str>, content: Source },
    CallersMessages,
}

/// One template text, compiled.
struct Source {
    environment: Box<Environment<'static>>,
    /// Paths that are read and not set by the template itself.
    paths: Vec<String>,
}

/// What a prompt gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Rendered {
    /// One text.
    Text(String),
    /// Messages.
    Messages(Vec<Turn>),
}

/// One message of a rendered prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Somebody says something.
    Said {
        /// Who.
        role: String,
        /// What: text, or content as the template's own JSON had it.
        content: Json,
    },
    /// The caller's own messages, as they came.
    CallersMessages,
}

/// A template that does not compile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct TemplateProblem {
    /// The line within the template, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

/// A template that does not render.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PromptProblem {
    /// Variables that the request does not have, such as `input.city`.
    #[error("the prompt wants {}", .0.join(", "))]
    Missing(Vec<String>),
    /// It takes too many steps, or gives too much.
    #[error("the prompt becomes too large")]
    TooMuch,
    /// Something else: a filter that does not fit, for example.
    #[error("the prompt cannot be filled in: {0}")]
    Failed(String),
}

// === impl Template ===

impl Template {
    /// Compiles a prompt.
    ///
    /// # Errors
    /// When it is not Jinja2.
    pub fn compile(prompt: &Prompt) -> Result<Self, TemplateProblem> {
        let parts = match prompt {
            Prompt::Text(text) => Parts::Text(Source::compile(text)?),
            Prompt::Messages(messages) => Parts::Messages(
                messages
                    .iter()
                    .map(Part::compile)
                    .collect::<Result<_, _>>()?,
            ),
        };
        let mut variables: Vec<String> = parts.sources().flat_map(Source::variables).collect();
        variables.sort();
        variables.dedup();
        Ok(Self { parts, variables })
    }

    /// Names of the body's top-level fields that the prompt reads.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// Fills the prompt in from a request's body. A text that is a JSON list of messages counts as messages.
    ///
    /// # Errors
    /// When the body lacks what the prompt wants, or the prompt becomes too large.
    pub fn render(&self, body: &Map<String, Json>) -> Result<Rendered, PromptProblem> {
        let input = Input::new(body);
        match &self.parts {
            Parts::Text(source) => {
                let text = source.render(&input)?;
                Ok(messages_in(&text).map_or(Rendered::Text(text), Rendered::Messages))
            }
            Parts::Messages(parts) => parts
                .iter()
                .map(|part| part.render(&input))
                .collect::<Result<_, _>>()
                .map(Rendered::Messages),
        }
    }
}

/// Checks one template text.
///
/// # Errors
/// When it is not Jinja2.
pub fn check(source: &str) -> Result<(), TemplateProblem> {
    Source::compile(source).map(|_| ())
}

impl Parts {
    fn sources(&self) -> impl Iterator<Item = &Source> {
        let (text, parts) = match self {
            Self::Text(source) => (Some(source), &[][..]),
            Self::Messages(parts) => (None, parts.as_slice()),
        };
        let contents = parts.iter().filter_map(|part| match part {
            Part::Templated { content, .. } => Some(content),
            Part::CallersMessages => None,
        });
        text.into_iter().chain(contents)
    }
}

impl Part {
    fn compile(message: &PromptMessage) -> Result<Self, TemplateProblem> {
        Ok(match message {
            PromptMessage::Templated { role, content } => Self::Templated {
                role: Arc::clone(role),
                content: Source::compile(content)?,
            },
            PromptMessage::CallersMessages => Self::CallersMessages,
        })
    }

    fn render(&self, input: &Input) -> Result<Turn, PromptProblem> {
        Ok(match self {
            Self::Templated { role, content } => Turn::Said {
                role: role.to_string(),
                content: Json::String(content.render(input)?),
            },
            Self::CallersMessages => Turn::CallersMessages,
        })
    }
}

// === impl Source ===

impl Source {
    /// Compiles a template, on a stack that is deep enough for any.
    fn compile(text: &str) -> Result<Self, TemplateProblem> {
        let problem = |message: String| TemplateProblem {
            line: None,
            message,
        };
        if text.len() > TEMPLATE_BYTES_MAX {
            let message = format!("it is longer than {TEMPLATE_BYTES_MAX} bytes");
            return Err(problem(message));
        }
        let compiled = thread::scope(|scope| {
            let compiler = thread::Builder::new()
                .name("template".to_owned())
                .stack_size(COMPILER_STACK_BYTES)
                .spawn_scoped(scope, || Self::compile_here(text));
            compiler.map(ScopedJoinHandle::join)
        });
        match compiled {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(_)) => Err(problem("the compiler fails on it".to_owned())),
            Err(error) => Err(problem(format!("the compiler cannot start: {error}"))),
        }
    }

    fn compile_here(text: &str) -> Result<Self, TemplateProblem> {
        let mut environment = Environment::new();
        // What is missing may be asked about (`{{ input.language or "English" }}`), and not be printed.
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment
            .add_template_owned(NAME, text.to_owned())
            .map_err(|error| TemplateProblem {
                line: error.line(),
                message: error
                    .detail()
                    .map_or_else(|| error.kind().to_string(), str::to_owned),
            })?;
        let template = environment.get_template(NAME);
        let paths = template.map(|template| template.undeclared_variables(true));
        Ok(Self {
            paths: paths.unwrap_or_default().into_iter().collect(),
            environment: Box::new(environment),
        })
    }

    /// Names of the fields of `input` that are read.
    fn variables(&self) -> Vec<String> {
        self.paths
            .iter()
            .filter_map(|path| {
                path.strip_prefix("input.")?
                    .split('.')
                    .next()
                    .map(str::to_owned)
            })
            .collect()
    }

    fn render(&self, input: &Input) -> Result<String, PromptProblem> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| PromptProblem::Failed(error.to_string()))?;
        let mut output = Bounded::default();
        let context = minijinja::context! { input => input.value.clone() };
        let rendered = template.render_captured_to(context, &mut output);
        match rendered {
            _ if output.overflown => Err(PromptProblem::TooMuch),
            Ok(_) => String::from_utf8(output.bytes)
                .map_err(|error| PromptProblem::Failed(error.to_string())),
            Err(error) => Err(self.problem(&error, input)),
        }
    }

    /// The paths without which it cannot be filled in; those that it does without are not named.
    fn missing(&self, input: &Input) -> Vec<String> {
        let lacking = self.paths.iter().filter(|path| input.lacks(path));
        let mut lacking: Vec<&String> = lacking.collect();
        lacking.sort();
        if lacking.len() > TRIALS_MAX {
            return lacking.into_iter().cloned().collect();
        }
        let is_needed = |path: &&&String| {
            let others = lacking.iter().filter(|other| other != path);
            let filled = input.with_nothing_in(others.map(|path| path.as_str()));
            self.lacks_something(&filled)
        };
        lacking
            .iter()
            .filter(is_needed)
            .map(|path| (*path).clone())
            .collect()
    }

    fn lacks_something(&self, input: &Input) -> bool {
        let Ok(template) = self.environment.get_template(NAME) else {
            return false;
        };
        let context = minijinja::context! { input => input.value.clone() };
        let rendered = template.render_captured_to(context, Bounded::default());
        rendered.is_err_and(|error| error.kind() == ErrorKind::UndefinedError)
    }

    fn problem(&self, error: &minijinja::Error, input: &Input) -> PromptProblem {
        match error.kind() {
            ErrorKind::OutOfFuel => PromptProblem::TooMuch,
            ErrorKind::UndefinedError => {
                let mut missing = self.missing(input);
                if missing.is_empty() {
                    missing.push(
                        error
                            .detail()
                            .unwrap_or("a variable that the request does not have")
                            .to_owned(),
                    );
                }
                PromptProblem::Missing(missing)
            }
            _ => PromptProblem::Failed(
                error
                    .detail()
                    .map_or_else(|| error.kind().to_string(), str::to_owned),
            ),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

/// Output that stops at its bound.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    overflown: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_BYTES_MAX {
            self.overflown = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn render(template: &str, body: Json) -> Result<Rendered, PromptProblem> {
        let template = Template::compile(&Prompt::Text(template.into())).unwrap();
        let Json::Object(body) = body else {
            panic!("an object")
        };
        template.render(&body)
    }

    fn text(template: &str, body: Json) -> String {
        match render(template, body).unwrap() {
            Rendered::Text(text) => text,
            Rendered::Messages(turns) => panic!("{turns:?}"),
        }
    }

    /// The stack overflowed, which ended the program. Each of these is nested some ten thousand levels deep.
    #[test]
    fn deep_templates_are_compiled_or_refused() {
        for (start, piece, end) in [
            ("{{ ", "-", "1 }}"),
            ("{{ ", "not ", "1 }}"),
            ("{{ 1", "+1", " }}"),
            ("{{ input", ".a", " }}"),
            ("{{ input", "()", " }}"),
            ("{{ input", "[0]", " }}"),
            ("{{ 1", "|upper", " }}"),
            ("{{ ", "(", ""),
            ("{% if 0 %}", "{% elif 0 %}", "{% endif %}"),
        ] {
            let count = (TEMPLATE_BYTES_MAX - 100) / piece.len();
            let template = format!("{start}{}{end}", piece.repeat(count));
            assert_eq!(check(&template).is_ok(), !end.is_empty(), "{piece}");
        }
    }

    #[test]
    fn a_template_that_is_too_long_is_refused() {
        let longest = "a".repeat(TEMPLATE_BYTES_MAX);
        assert!(check(&longest).is_ok());
        let problem = check(&format!("{longest}a")).unwrap_err();
        assert_eq!(problem.message, "it is longer than 64000 bytes");
    }

    #[test]
    fn a_sole_message_reads_as_its_text() {
        let body = json!({"messages": [{"role": "user", "content": "Hi"}]});
        assert_eq!(
            text(
                "You are a helpful assistant.\nUser: {{ input.messages }}\n",
                body
            ),
            "You are a helpful assistant.\nUser: Hi"
        );
    }

    #[test]
    fn a_conversation_reads_line_by_line() {
        let body = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {}}]}, {"role": "assistant", "content": "Yes?"}]});
        assert_eq!(
            text("{{ input.messages }}", body.clone()),
            "user: Hi [image]\nassistant: Yes?"
        );
        assert_eq!(
            text(
                "{% for m in input.messages %}<{{ m.role }}>{{ m.content }}{% endfor %}",
                body.clone()
            ),
            "<user>Hi [image]<assistant>Yes?"
        );
        assert_eq!(
            text(
                "{{ input.messages[1].content|upper }} {{ input.messages|length }}",
                body
            ),
            "YES? 2"
        );
    }

    #[test]
    fn the_text_of_a_call_is_at_hand() {
        assert_eq!(
            text("Sum up: {{ input.text }}", json!({"text": "long"})),
            "Sum up: long"
        );
        assert_eq!(
            text("Sum up: {{ input.text }}", json!({"prompt": "long"})),
            "Sum up: long"
        );
        assert_eq!(
            text(
                "Sum up: {{ input.text }}",
                json!({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]})
            ),
            "Sum up: b"
        );
    }

    #[test]
    fn every_missing_variable_is_named() {
        let problem = render(
            "{{ input.city }} {{ input.day.name }} {{ input.there }}",
            json!({"there": 1}),
        )
        .unwrap_err();
        assert_eq!(
            problem,
            PromptProblem::Missing(vec!["input.city".to_owned(), "input.day.name".to_owned()])
        );
    }

    #[test]
    fn what_may_be_left_out_is_not_named_as_missing() {
        let problem = render(
            "{{ input.need }} {{ input.opt | default('x') }} {% if input.flag %}{{ input.flag.text }}{% endif %} {{ input.word or 'y' }}",
            json!({}),
        )
        .unwrap_err();
        assert_eq!(
            problem,
            PromptProblem::Missing(vec!["input.need".to_owned()])
        );
    }

    #[test]
    fn what_is_tested_for_is_not_missing() {
        assert_eq!(
            text(
                "{% if input.city is defined %}{{ input.city }}{% else %}nowhere{% endif %}",
                json!({})
            ),
            "nowhere"
        );
        assert_eq!(
            text("{{ input.city|default('nowhere') }}", json!({})),
            "nowhere"
        );
    }

    #[test]
    fn a_list_of_messages_is_understood() {
        let rendered = render("[{\"role\": \"system\", \"content\": \"Be brief\"}, {\"role\": \"user\", \"content\": {{ input.text|tojson }}}]", json!({"text": "a \"b\""})).unwrap();
        assert_eq!(
            rendered,
            Rendered::Messages(vec![
                Turn::Said {
                    role: "system".to_owned(),
                    content: json!("Be brief")
                },
                Turn::Said {
                    role: "user".to_owned(),
                    content: json!("a \"b\"")
                },
            ])
        );
        assert_eq!(text("[not json", json!({})), "[not json");
    }

    #[test]
    fn templates_per_message_keep_the_callers_own() {
        let prompt = Prompt::Messages(vec![
            PromptMessage::Templated {
                role: "system".into(),
                content: "Speak {{ input.language }}.".into(),
            },
            PromptMessage::CallersMessages,
        ]);
        let template = Template::compile(&prompt).unwrap();
        let Json::Object(body) = json!({"language": "French", "messages": []}) else {
            unreachable!()
        };
        let expected = vec![
            Turn::Said {
                role: "system".to_owned(),
                content: json!("Speak French."),
            },
            Turn::CallersMessages,
        ];
        assert_eq!(template.render(&body), Ok(Rendered::Messages(expected)));
        assert_eq!(template.variables(), ["language"]);
    }

    #[test]
    fn bombs_are_stopped() {
        for bomb in [
            "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
            "{{ 'x' * 2000000 }}",
            "{% for a in range(9999) %}{{ 'x' * 1000 }}{% endfor %}",
        ] {
            assert!(render(bomb, json!({})).is_err(), "{bomb}");
        }
    }

    #[test]
    fn nothing_but_the_input_is_in_reach() {
        for template in [
            "{% include 'other' %}",
            "{% extends 'other' %}",
            "{{ env.HOME }}",
            "{{ input.__class__ }}",
        ] {
            let Ok(compiled) = Template::compile(&Prompt::Text(template.into())) else {
                continue;
            };
            assert!(compiled.render(&Map::new()).is_err(), "{template}");
        }
    }

    #[test]
    fn a_template_that_is_none_is_told_with_its_line() {
        let problem = check("fine\n{{ broken").unwrap_err();
        assert_eq!(problem.line, Some(2));
    }

    proptest! {
        #[test]
        fn no_template_panics(template in ".{0,200}") {
            if let Ok(template) = Template::compile(&Prompt::Text(template.into())) {
                let _outcome = template.render(&Map::new());
            }
        }

        #[test]
        fn no_template_like_text_panics(pieces in proptest::collection::vec(prop_oneof!["\\{\\{ ?", " ?\\}\\}", "\\{% ?", " ?%\\}", "for a in ", "input", "\\.text", "\\[0\\]", "\\|upper", "if ", "endif", "endfor", "'x' ?\\* ?9"], 0..12)) {
            if let Ok(template) = Template::compile(&Prompt::Text(pieces.concat().into())) {
                let _outcome = template.render(&Map::from_iter([("text".to_owned(), json!("t"))]));
            }
        }
    }
}
