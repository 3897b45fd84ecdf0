"""What every other package uses: checks of arguments, declarative records, and the CPUs of this process."""
