//! How a command ends: a documented exit code, and the problems that led there.

use crate::problem::{Code, Problem};

/// Exit codes, as the manual lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; drained clean.
    Ok = 0,
    /// Failed, or the drain was cut off.
    Failed = 1,
    /// Wrong usage, or a configuration that is refused: every PM01xx and PM02xx.
    Refused = 2,
    /// Nobody answers on the admin address.
    Unreachable = 3,
}

/// Why a command did not end well.
#[derive(Debug)]
pub struct Failure {
    /// How it ends.
    pub exit: Exit,
    /// With a code each.
    pub problems: Vec<Problem>,
    /// What no code is for, such as a file that cannot be written.
    pub error: Option<anyhow::Error>,
}

impl Failure {
    /// These problems make the command refuse, whatever their codes.
    pub fn refused(problems: Vec<Problem>) -> Failure {
        Failure { exit: Exit::Refused, problems, error: None }
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Failure {
        let is = |test: fn(Code) -> bool| problems.iter().any(|problem| test(problem.code));
        let exit = if is(|code| (100..300).contains(&code.number())) {
            Exit::Refused
        } else if is(|code| code == Code::ADMIN_UNREACHABLE) {
            Exit::Unreachable
        } else {
            Exit::Failed
        };
        Failure { exit, problems, error: None }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        vec![problem].into()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure { exit: Exit::Failed, problems: Vec::new(), error: Some(error) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        anyhow::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_problem_decides_how_the_command_ends() {
        for (code, exit) in [
            (Code::UNKNOWN_KEY, Exit::Refused),
            (Code::ADDRESS_TAKEN, Exit::Refused),
            (Code::NOT_A_COMPONENT, Exit::Failed),
            (Code::ADMIN_UNREACHABLE, Exit::Unreachable),
        ] {
            assert_eq!(Failure::from(Problem::error(code, "x")).exit, exit, "{code}");
        }
    }
}
