module example.test/service

go 1.19

require example.test/words v0.0.0

replace example.test/words => ./third_party/words
