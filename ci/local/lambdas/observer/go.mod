module observer

go 1.21
