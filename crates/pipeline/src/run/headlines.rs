//! The headlines of a run: what its tables say, whether this run made them or an earlier one.

use report::{Finding, Table, activation_findings, weight_findings};

use crate::run::execution::Run;
use crate::run::plan::Step;

/// What was found of one pair's parameters, or of hidden states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headlines {
    /// What they are about.
    pub about: String,
    /// In sentences.
    pub findings: Vec<Finding>,
}

/// Those of all steps with results. There are none of a table that cannot be read, which the report says.
pub(crate) fn headlines(run: &Run<'_>) -> Vec<Headlines> {
    run.plan.steps.iter().filter_map(|step| of_step(run, *step)).collect()
}

fn of_step(run: &Run<'_>, step: Step) -> Option<Headlines> {
    let table = |name| Table::read(run.table(step, name)?).ok();
    let findings = match step {
        Step::ParamStats(_) => weight_findings(&table("per_matrix")?, &table("ledger")?),
        Step::ActivationNorms => {
            let differences = table("activation_diffs");
            activation_findings(&table("activation_norms")?, differences.as_ref(), &|model| {
                run.plan.short(model)
            })
        }
        Step::Datasets
        | Step::Models
        | Step::PlotParamStats(_)
        | Step::PlotActivationNorms
        | Step::Report => return None,
    };
    Some(Headlines { about: run.plan.name(step), findings: findings.ok()? })
}
