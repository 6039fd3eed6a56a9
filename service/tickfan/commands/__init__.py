"""What the commands do, one a module; ``tickfan.cli`` says how they are called.

Each takes plain values, prints for a person or a pipe, and returns an exit status: 0 if all
went well, 1 if it did not work, 2 if it was asked wrongly. Must not know the command line.
"""

OK, FAILED, WRONG = 0, 1, 2
