// Functions of dead.go that are declared without a body want an assembly file beside them.
