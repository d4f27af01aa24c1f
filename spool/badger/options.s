// Functions of options.go that are declared without a body want an assembly file beside them.
