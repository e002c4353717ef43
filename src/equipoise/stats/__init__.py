"""Statistics: intervals, resampling, permutation nulls, equivalence, multiplicity, correlation.

NumPy only at import (``scipy.special`` inside functions). Functions are pure; randomness comes from a ``seed`` that is
an int or a `numpy.random.Generator`, and equal seeds give equal numbers.
"""

from equipoise.stats.correlation import (
    Correlation,
    kendall,
    partial_spearman,
    pearson,
    spearman,
    spearman_permutation_p,
)
from equipoise.stats.delong import auc, auc_groups, auc_interval, delong, delong_groups, midranks
from equipoise.stats.equivalence import Equivalence, minimum_detectable_effect, tost, two_sided_p
from equipoise.stats.intervals import (
    cohen_d,
    cohen_d_interval,
    mean_interval,
    mover,
    newcombe,
    newcombe_paired,
    normal_interval,
    ratio_interval,
    welch,
    wilson,
    worst_interval,
    z_of,
)
from equipoise.stats.multiplicity import benjamini_hochberg, holm
from equipoise.stats.nulls import (
    Null,
    auc_gap_null,
    chance_floor,
    expected_minimum,
    gap_null,
    gap_of_rates,
    mean_gap_null,
    null_of,
    permutation_tables,
)
from equipoise.stats.ranked import RankedShares, ranked_share_bootstrap, row_weights
from equipoise.stats.ranked_nulls import LabelNull, SkewNull, permute_labels_skew, skew_null
from equipoise.stats.ranking import max_skew, min_skew, prefix_length, rate_gap, shares_of, skews, top_rows
from equipoise.stats.resampling import (
    bootstrap_interval,
    cluster_bootstrap,
    multinomial_bootstrap,
    multinomial_tables,
    resample_queries,
    standard_error,
)
from equipoise.stats.weights import check_weights, effective_sample_size

__all__ = [
    "Correlation",
    "Equivalence",
    "LabelNull",
    "Null",
    "RankedShares",
    "SkewNull",
    "auc",
    "auc_gap_null",
    "auc_groups",
    "auc_interval",
    "benjamini_hochberg",
    "bootstrap_interval",
    "chance_floor",
    "check_weights",
    "cluster_bootstrap",
    "cohen_d",
    "cohen_d_interval",
    "delong",
    "delong_groups",
    "effective_sample_size",
    "expected_minimum",
    "gap_null",
    "gap_of_rates",
    "holm",
    "kendall",
    "max_skew",
    "mean_gap_null",
    "mean_interval",
    "midranks",
    "min_skew",
    "minimum_detectable_effect",
    "mover",
    "multinomial_bootstrap",
    "multinomial_tables",
    "newcombe",
    "newcombe_paired",
    "normal_interval",
    "null_of",
    "partial_spearman",
    "pearson",
    "permutation_tables",
    "permute_labels_skew",
    "prefix_length",
    "ranked_share_bootstrap",
    "rate_gap",
    "ratio_interval",
    "resample_queries",
    "row_weights",
    "shares_of",
    "skew_null",
    "skews",
    "spearman",
    "spearman_permutation_p",
    "standard_error",
    "top_rows",
    "tost",
    "two_sided_p",
    "welch",
    "wilson",
    "worst_interval",
    "z_of",
]
