package datapath

//go:generate go tool bpf2go -cc clang-16 -strip llvm-strip-16 -target bpfel,bpfeb -no-global-types -cflags "-O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -nostdinc" rota bpf/rota.c
