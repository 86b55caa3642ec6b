"""Operation types of TensorFlow graphs, in sets named for what the operations do to a tensor."""

# Casts: the same values in another number format.
CASTS = frozenset(["Cast", "Identity"])
# The same values in the same order on other axes.
RESHAPES = frozenset(["ExpandDims", "Reshape", "Squeeze"])
SAME_ENTRIES = CASTS | frozenset(["Reshape"])
# The same values, perhaps in another order, repeated, or only parts of them.
REARRANGEMENTS = CASTS | RESHAPES | frozenset(["Transpose"])
FORM_CHANGES = REARRANGEMENTS | frozenset(["BroadcastTo", "StopGradient", "Tile"])
SLICES = frozenset(["Split", "SplitV", "StridedSlice", "Unpack"])
PARTS = SLICES | frozenset(["GatherV2"])
SHAPE_CHANGES = RESHAPES | SLICES | frozenset(["Transpose"])

# A tensor's shape; and whatever depends on the shape alone.
SHAPES = frozenset(["Shape", "ShapeN"])
SHAPE_READERS = SHAPES | frozenset(["OnesLike", "Rank", "Size", "ZerosLike"])

# Entry by entry: sums, linear functions of one tensor, and functions that are clipped.
ADDITIONS = frozenset(["Add", "AddV2"])
BIASES = ADDITIONS | frozenset(["BiasAdd"])
LINEAR = ADDITIONS | frozenset(["Mul", "Neg", "RealDiv", "Sub"])
CLIPS = frozenset(["ClipByValue", "Maximum", "Minimum", "Relu6"])
# Masks put other values in the place of some; scalings scale, mask or keep each entry.
MASKS = frozenset(["Select", "SelectV2"])
SCALINGS = CASTS | MASKS | frozenset(["Mul", "RealDiv", "StopGradient"])
# Attention scores on the way to the softmax: biases, masks and soft caps.
SCORE_SHIFTS = BIASES | frozenset(["Maximum", "Minimum", "Sub", "Tanh"])

MATRIX_PRODUCTS = frozenset(["BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"])
PRODUCTS = MATRIX_PRODUCTS | frozenset(["Einsum", "MatMul"])
CONVOLUTIONS = frozenset(["Conv2D", "Conv3D", "DepthwiseConv2dNative"])
POOLINGS = frozenset(["AvgPool", "MaxPool"])
FEATURE_MAPS = CONVOLUTIONS | POOLINGS | frozenset(["ExtractImagePatches"])

# Statistics over axes, the arithmetic that normalizes with them, and what they pass before that.
STATISTICS = frozenset(["EuclideanNorm", "Max", "Mean", "Min", "Sum"])
NORMALIZATIONS = ADDITIONS | frozenset(["Mul", "RealDiv", "SquaredDifference", "Sub"])
ROOTS = frozenset(["Maximum", "Neg", "Reciprocal", "Rsqrt", "Sqrt", "Square"])
STATISTIC_STEPS = NORMALIZATIONS | ROOTS | SAME_ENTRIES | frozenset(["Squeeze", "StopGradient"])

# The last activation of a model.
PROBABILITIES = frozenset(["Sigmoid", "Softmax"])
OUTPUT_ACTIVATIONS = PROBABILITIES | frozenset(["LogSoftmax"])

# Tensors that are read and not computed.
WEIGHTS = frozenset(["Const", "ReadVariableOp"])

# Functions, conditions and loops, whose insides are not among a graph's operations.
CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall"])
CONTROL_FLOW = frozenset(["Case", "If", "StatelessCase", "StatelessIf", "StatelessWhile", "While"])
