module example.org/quorate

go 1.25
